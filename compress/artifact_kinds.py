"""Which folders are artifacts of cipherpress: told by what their files say, never by a file's name alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.errors import FormatError
from compress.json_file import read_object


@dataclass(frozen=True, kw_only=True)
class ArtifactKind:
    """How a folder of one kind is recognised.

    identity: the JSON file that says what the folder is. kind: the value of its field `kind`. digest_field: its field
    that holds a sha256 or an id of 64 hex digits. files: every file that such a folder may hold.
    """

    name: str
    identity: str
    kind: str
    digest_field: str
    files: frozenset[str]


_MODEL_FILES = frozenset({"model.json", "model.safetensors"})
_BUNDLE_FILES = frozenset({"client.json", "server/plan.json", "server/constants.safetensors", "report.json"})
#: `press` with a target adds these to the bundle that it found.
SEARCH_FILES = frozenset({"targets.json", "targets.svg"})

KINDS = (
    ArtifactKind(
        name="compressed", identity="model.json", kind="compressed", digest_field="tensors_sha256", files=_MODEL_FILES
    ),
    ArtifactKind(
        name="network", identity="model.json", kind="network", digest_field="tensors_sha256", files=_MODEL_FILES
    ),
    ArtifactKind(name="weights", identity="model.json", kind="weights", digest_field="sha256", files=_MODEL_FILES),
    ArtifactKind(
        name="bundle",
        identity="client.json",
        kind="cipherpress-client",
        digest_field="bundle_id",
        files=_BUNDLE_FILES | SEARCH_FILES,
    ),
)


def folder_kind(folder: Path) -> ArtifactKind | None:
    """The kind that a folder says it is, whatever else is in it; None when it does not say."""
    for kind in KINDS:
        found = _json_object(folder / kind.identity)
        digest = found.get(kind.digest_field)
        if found.get("kind") == kind.kind and type(found.get("version")) is int and _is_digest(digest):
            return kind
    return None


def foreign_entry(folder: Path) -> str | None:
    """The first entry of an existing folder that is no part of an artifact; None for an artifact and for an empty
    folder.

    A folder that does not say what it is consists of foreign entries. So does a link, and a folder that no kind has.
    """
    kind = folder_kind(folder)
    files = frozenset() if kind is None else kind.files
    folders = {str(Path(name).parent) for name in files}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        allowed = folders if path.is_dir() else files
        if path.is_symlink() or name not in allowed:
            return name
    return None


def _json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one for anything else."""
    try:
        return read_object(path)
    except FormatError:
        return {}


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
