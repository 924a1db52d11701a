"""What binds the parts of a bundle's folder, in either mode: file names, hashes, and the fields that state them.

plan.json states the hash of the constants, the bundle id, the digest of client.json and the hash of report.json, so
that no part can be exchanged for that of another bundle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.artifact import json_bytes, read_hashed, read_json, write_folder
from compress.errors import FormatError
from secure.bundle.client_parts import CLIENT_FILE, VERSION, is_sha256
from secure.bundle.fields import Fields
from secure.bundle.report_checks import report_fault

PLAN_FILE, CONSTANTS_FILE, REPORT_FILE = (
    "server/plan.json",
    "server/constants.safetensors",
    "report.json",
)
PLAN_KIND, REPORT_KIND = "cipherpress-plan", "cipherpress-report"
#: What plan.json says of the other files. It is no part of the plan, nor of the bundle id.
BINDINGS = ("bundle_id", "client_digest", "report_sha256")


@dataclass(frozen=True)
class PlanContent:
    """A plan as its two files hold it. fields: plan.json without the bindings. constants: safetensors bytes."""

    fields: Mapping[str, Any]
    constants: bytes

    @property
    def digest(self) -> str:
        """The id of a bundle: sha256 (hex) over its whole plan, with the constants."""
        return hashlib.sha256(json_bytes(dict(self.fields)) + self.constants).hexdigest()


def constants_sha256(constants: bytes) -> str:
    """What plan.json says of the constants."""
    return hashlib.sha256(constants).hexdigest()


def write_bundle(
    folder: Path,
    plan: PlanContent,
    client: Mapping[str, Any],
    digest_of_client: str,
    report: Mapping[str, Any],
    *,
    force: bool,
) -> None:
    """Write the folder, whole or not at all; the same content gives the same bytes.

    Raises: as `compress.artifact.write_folder`.
    """
    stated = json_bytes({"kind": REPORT_KIND, "version": VERSION, "report": report})
    bindings = (plan.digest, digest_of_client, hashlib.sha256(stated).hexdigest())
    files = {
        CLIENT_FILE: json_bytes(dict(client)),
        PLAN_FILE: json_bytes({**plan.fields, "version": VERSION, **dict(zip(BINDINGS, bindings, strict=True))}),
        CONSTANTS_FILE: plan.constants,
        REPORT_FILE: stated,
    }
    write_folder(folder, files, force=force)


def read_plan(folder: Path) -> tuple[Fields, bytes]:
    """The fields of plan.json, and the bytes of the constants, which have the hash that it states.

    Raises: FormatError.
    """
    path = folder / PLAN_FILE
    found = read_json(path, kind=PLAN_KIND, version=VERSION)
    return Fields(str(path), found), read_hashed(folder / CONSTANTS_FILE, found.get("constants_sha256"))


def stated_bindings(fields: Fields, bundle_id: str) -> tuple[str, str]:
    """The digest of client.json and the hash of report.json that plan.json states.

    bundle_id: the digest of the plan that was read, which the file must state too.
    Raises: FormatError.
    """
    if fields.values.get("bundle_id") != bundle_id:
        raise FormatError(f"{fields.where}: field 'bundle_id' is not the digest of the plan; the file is altered")
    for name in BINDINGS[1:]:
        if not is_sha256(fields.text(name)):
            raise fields.wrong(name, "a sha256 in 64 hex digits")
    return fields.text("client_digest"), fields.text("report_sha256")


def check_client(folder: Path, disagreement: str | None, found_digest: str, stated_digest: str | None) -> None:
    """Raises: FormatError for a client.json that is not of this plan.

    disagreement: the first of its fields that the plan contradicts; None if there is none.
    """
    path = folder / CLIENT_FILE
    if disagreement == "bundle_id":
        raise FormatError(f"{path}: field 'bundle_id' is not that of {PLAN_FILE}; compile again")
    if disagreement is not None:
        raise FormatError(f"{path}: field '{disagreement}' is not what {PLAN_FILE} needs; the file is altered")
    if found_digest != stated_digest:
        raise FormatError(
            f"{path}: its digest is not the one in {PLAN_FILE}; the file is altered, or of another compilation"
        )


def read_report(folder: Path, stated_sha256: str | None) -> dict[str, Any]:
    """The content of report.json, of this bundle, with the fields that code reads of the right types.

    Raises: FormatError.
    """
    path = folder / REPORT_FILE
    report = read_json(path, kind=REPORT_KIND, version=VERSION)
    if hashlib.sha256(path.read_bytes()).hexdigest() != stated_sha256:
        raise FormatError(f"{path}: its sha256 is not the one in {PLAN_FILE}; the file is altered")
    content = report.get("report")
    if not isinstance(content, dict):
        raise FormatError(f"{REPORT_FILE}: field 'report' is missing or malformed; the file is altered")
    fault = report_fault(content)
    if fault is not None:
        raise FormatError(f"{path}: {fault}; the file is altered")
    return content
