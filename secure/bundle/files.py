"""A Bundle on disk: client.json (no weights), server/ (plan and constants, no secret), report.json."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from compress.artifact import json_bytes, read_hashed, read_json, write_folder
from compress.checks import MALFORMED
from compress.errors import FormatError, PlanError, shown
from secure.bundle.client_checks import is_sha256
from secure.bundle.client_file import CLIENT_FILE as CLIENT_FILE
from secure.bundle.client_file import VERSION, client_digest, client_json, params_json, read_params
from secure.bundle.client_file import load_client as load_client
from secure.bundle.fields import Fields
from secure.bundle.report_checks import report_fault
from secure.bundle.specs import Bundle, ClientSpec, ServerSpec
from secure.evaluators.dry import dry_run
from secure.params import check_security
from secure.plan import Constant, Kind, Op, Plan

PLAN_FILE, CONSTANTS_FILE, REPORT_FILE = (
    "server/plan.json",
    "server/constants.safetensors",
    "report.json",
)
PLAN_KIND, REPORT_KIND = "cipherpress-plan", "cipherpress-report"
#: The version of what the bundle id is computed from. It stands where plan.json has the version of the folder.
PLAN_VERSION = 2
#: What plan.json says of the other files. It is no part of the plan, nor of the bundle id.
BINDINGS = ("bundle_id", "client_digest", "report_sha256")
OP_FIELDS = tuple(field.name for field in fields(Op))


def plan_digest(plan: Plan) -> str:
    """The id of a bundle: sha256 (hex) over its whole plan, with the constants."""
    constants = _constants_bytes(plan)
    return hashlib.sha256(json_bytes(_plan_json(plan, constants)) + constants).hexdigest()


def save_bundle(bundle: Bundle, folder: str | Path, force: bool = False) -> None:
    """Write the folder, whole or not at all; the same bundle gives the same bytes.

    Raises: as `compress.artifact.write_folder`.
    """
    plan, constants = bundle.server.plan, _constants_bytes(bundle.server.plan)
    report = json_bytes({"kind": REPORT_KIND, "version": VERSION, "report": bundle.report_json()})
    bindings = (plan_digest(plan), client_digest(bundle.client), hashlib.sha256(report).hexdigest())
    stated = {**_plan_json(plan, constants), "version": VERSION, **dict(zip(BINDINGS, bindings, strict=True))}
    files = {
        CLIENT_FILE: json_bytes(client_json(bundle.client)),
        PLAN_FILE: json_bytes(stated),
        CONSTANTS_FILE: constants,
        REPORT_FILE: report,
    }
    write_folder(Path(folder), files, force=force)


def load_bundle(folder: str | Path) -> Bundle:
    """All three parts; they are checked to belong together, by the hashes of client.json and report.json in plan.json.

    Raises: FormatError naming file and field; InsecureParametersError.
    """
    client, server = load_client(folder), load_server(folder)
    if client.bundle_id != server.bundle_id:
        raise FormatError(f"{Path(folder) / CLIENT_FILE}: field 'bundle_id' is not that of {PLAN_FILE}; compile again")
    disagreement = client_disagreement(client, server.plan)
    if disagreement is not None:
        raise FormatError(
            f"{Path(folder) / CLIENT_FILE}: field '{disagreement}' is not what {PLAN_FILE} needs; the file is altered"
        )
    if client_digest(client) != server.client_digest:
        raise FormatError(
            f"{Path(folder) / CLIENT_FILE}: its digest is not the one in {PLAN_FILE}; the file is altered, or "
            "of another compilation"
        )
    report = read_json(Path(folder) / REPORT_FILE, kind=REPORT_KIND, version=VERSION)
    if hashlib.sha256((Path(folder) / REPORT_FILE).read_bytes()).hexdigest() != server.report_sha256:
        raise FormatError(
            f"{Path(folder) / REPORT_FILE}: its sha256 is not the one in {PLAN_FILE}; the file is altered"
        )
    content = _field(report, "report", dict, REPORT_FILE)
    fault = report_fault(content)
    if fault is not None:
        raise FormatError(f"{Path(folder) / REPORT_FILE}: {fault}; the file is altered")
    return Bundle(client=client, server=server, report=content)


def load_server(folder: str | Path) -> ServerSpec:
    """The server's part alone: the plan, with every operation checked.

    Raises: FormatError, InsecureParametersError.
    """
    path = Path(folder) / PLAN_FILE
    found = read_json(path, kind=PLAN_KIND, version=VERSION)
    content = read_hashed(Path(folder) / CONSTANTS_FILE, found.get("constants_sha256"))
    try:
        slots = _constant_slots(load_tensors(content), found["complex_constants"])
        columns = found["ops"]
        rows = zip(*(columns[name] for name in OP_FIELDS), strict=True)
        ops = tuple(_op(dict(zip(OP_FIELDS, row, strict=True))) for row in rows)
        constants = tuple(
            Constant(row, _whole(level), _real(scale))
            for row, level, scale in zip(slots, found["constant_levels"], found["constant_scales"], strict=True)
        )
        plan = Plan(
            params=read_params(Fields(str(path), found).inner("params")),
            inputs=_whole(found["inputs"]),
            input_level=_whole(found["input_level"]),
            input_scale=_real(found["input_scale"]),
            ops=ops,
            constants=constants,
            outputs=tuple(map(_whole, found["outputs"])),
        )
    except (*MALFORMED, SafetensorError) as error:
        raise FormatError(f"{path}: field {error} is missing or malformed; the file is altered") from error
    check_security(plan.params)
    if any(constant.slots.shape != (plan.params.slots,) for constant in plan.constants):
        raise FormatError(
            f"{Path(folder) / CONSTANTS_FILE}: constants are not of {plan.params.slots} slots; compile again"
        )
    bundle_id = plan_digest(plan)
    if found.get("bundle_id") != bundle_id:
        raise FormatError(f"{path}: field 'bundle_id' is not the digest of the plan; the file is altered")
    try:
        dry_run(plan)
    except PlanError as error:
        raise FormatError(f"{path}: field 'ops': {error}") from error
    stated = Fields(str(path), found)
    for name in BINDINGS[1:]:
        if not is_sha256(stated.text(name)):
            raise stated.wrong(name, "a sha256 in 64 hex digits")
    return ServerSpec(
        bundle_id=bundle_id,
        plan=plan,
        client_digest=stated.text("client_digest"),
        report_sha256=stated.text("report_sha256"),
    )


def client_disagreement(spec: ClientSpec, plan: Plan) -> str | None:
    """The first field of the client's part that does not agree with the plan; None if all do."""
    wanted = {
        "params": plan.params,
        "keys": plan.key_manifest,
        "input_level": plan.input_level,
        "input_scale": plan.input_scale,
        "output_levels": tuple(plan.level_of(value) for value in plan.outputs),
        "output_scales": tuple(plan.scale_of(value) for value in plan.outputs),
    }
    if len(spec.input_slots) != plan.inputs:
        return "input_slots"
    return next((name for name, value in wanted.items() if getattr(spec, name) != value), None)


def _op(row: dict[str, Any]) -> Op:
    integers = {name: _whole(row[name]) for name in ("level", "parts", "steps", "constant")}
    return Op(
        kind=Kind(row["kind"]),
        args=tuple(map(_whole, row["args"])),
        layer=_text(row["layer"]),
        scale=_real(row["scale"]),
        **integers,
    )


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{shown(value)}, which is no whole number,")
    return int(value)


def _real(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{shown(value)}, which is no number,")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{shown(value)}, which is no text,")
    return value


def _plan_json(plan: Plan, constants: bytes) -> dict[str, Any]:
    """The plan without its constants. The bundle id is a hash of this and of the constants."""
    return {
        "kind": PLAN_KIND,
        "version": PLAN_VERSION,
        "params": params_json(plan.params),
        "inputs": plan.inputs,
        "input_level": plan.input_level,
        "input_scale": plan.input_scale,
        "outputs": list(plan.outputs),
        "ops": {name: [_plain(getattr(op, name)) for op in plan.ops] for name in OP_FIELDS},
        "complex_constants": _complex_constants(plan),
        "constant_levels": [constant.level for constant in plan.constants],
        "constant_scales": [constant.scale for constant in plan.constants],
        "constants_sha256": hashlib.sha256(constants).hexdigest(),
    }


def _constants_bytes(plan: Plan) -> bytes:
    """The two tensors of a plan's constants as safetensors bytes.

    slots: the real parts of all constants. imaginary_slots: the imaginary parts of the complex ones, in the same order.
    """
    real = np.array([constant.slots.real for constant in plan.constants], dtype=np.float32)
    other = np.array([plan.constants[index].slots.imag for index in _complex_constants(plan)], dtype=np.float32)
    return save_tensors(
        {"slots": real.reshape(-1, plan.params.slots), "imaginary_slots": other.reshape(-1, plan.params.slots)}
    )


def _complex_constants(plan: Plan) -> list[int]:
    return [index for index, constant in enumerate(plan.constants) if np.iscomplexobj(constant.slots)]


def _constant_slots(tensors: dict[str, NDArray[Any]], complex_constants: list[int]) -> list[NDArray[Any]]:
    """The slots of every constant. Raises: ValueError, KeyError, IndexError for tensors of another kind."""
    real, imaginary = tensors["slots"], tensors["imaginary_slots"]
    if real.dtype != np.float32 or imaginary.dtype != np.float32:
        raise ValueError(f"slots are {real.dtype} and {imaginary.dtype}, not float32")
    if real.ndim != 2 or imaginary.ndim != 2 or real.shape[1] != imaginary.shape[1]:
        raise ValueError(f"slots have shapes {real.shape} and {imaginary.shape}, not (constants, slots)")
    if not (np.isfinite(real).all() and np.isfinite(imaginary).all()):
        raise ValueError("slots hold values that are not finite")
    if not all(type(index) is int and 0 <= index < len(real) for index in complex_constants):
        raise ValueError("complex_constants hold an index without a constant")
    slots: list[NDArray[Any]] = list(real)
    for index, other in zip(complex_constants, imaginary, strict=True):
        slots[index] = (real[index] + 1j * other).astype(np.complex64)
    return slots


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _field(found: dict[str, Any], name: str, kind: type, place: str) -> Any:
    if not isinstance(found.get(name), kind):
        raise FormatError(f"{place}: field '{name}' is missing or malformed; the file is altered")
    return found[name]
