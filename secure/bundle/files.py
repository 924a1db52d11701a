"""A Bundle on disk: client.json (no weights), server/ (plan and constants, no secret), report.json."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from dataclasses import asdict, fields
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from compress.artifact import json_bytes, read_hashed, read_json, write_folder
from compress.errors import FormatError, PlanError
from secure.bundle.specs import Bundle, ClientSpec, ServerSpec
from secure.evaluators.dry import dry_run
from secure.params import Params, check_security
from secure.plan import Constant, KeyManifest, Kind, Op, Plan

VERSION = 2
CLIENT_FILE, PLAN_FILE, CONSTANTS_FILE, REPORT_FILE = (
    "client.json",
    "server/plan.json",
    "server/constants.safetensors",
    "report.json",
)
CLIENT_KIND, PLAN_KIND, REPORT_KIND = "cipherpress-client", "cipherpress-plan", "cipherpress-report"
OP_FIELDS = tuple(field.name for field in fields(Op))
#: The largest slot map that is decompressed. A compiler writes smaller ones; a larger one would be an attack.
MAX_MAP_BYTES = 64 * 2**20
#: The exceptions that JSON values of a wrong type or shape cause when they are put into a spec.
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError)


def plan_digest(plan: Plan) -> str:
    """The id of a bundle: sha256 (hex) over its whole plan, with the constants."""
    constants = _constants_bytes(plan)
    return hashlib.sha256(json_bytes(_plan_json(plan, constants)) + constants).hexdigest()


def save_bundle(bundle: Bundle, folder: str | Path, force: bool = False) -> None:
    """Write the folder, whole or not at all; the same bundle gives the same bytes.

    Raises: as `compress.artifact.write_folder`.
    """
    constants = _constants_bytes(bundle.server.plan)
    files = {
        CLIENT_FILE: json_bytes(_client_json(bundle.client)),
        PLAN_FILE: json_bytes(
            {**_plan_json(bundle.server.plan, constants), "bundle_id": plan_digest(bundle.server.plan)}
        ),
        CONSTANTS_FILE: constants,
        REPORT_FILE: json_bytes({"kind": REPORT_KIND, "version": VERSION, "report": bundle.report_json()}),
    }
    write_folder(Path(folder), files, force=force)


def load_bundle(folder: str | Path) -> Bundle:
    """All three parts; they are checked to belong together.

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
    report = read_json(Path(folder) / REPORT_FILE, kind=REPORT_KIND, version=VERSION)
    return Bundle(client=client, server=server, report=_field(report, "report", dict, REPORT_FILE))


def load_client(folder: str | Path) -> ClientSpec:
    """The client's part alone.

    Raises: FormatError, InsecureParametersError.
    """
    path = Path(folder) / CLIENT_FILE
    found = read_json(path, kind=CLIENT_KIND, version=VERSION)
    try:
        spec = ClientSpec(
            bundle_id=str(found["bundle_id"]),
            params=_params(found["params"]),
            keys=KeyManifest(tuple(map(int, found["galois_elements"])), bool(found["relinearize"])),
            input_shape=tuple(map(int, found["input_shape"])),
            input_slots=_unpack_map(found["input_slots"]),
            input_level=int(found["input_level"]),
            input_scale=float(found["input_scale"]),
            input_low=float(found["input_low"]),
            input_high=float(found["input_high"]),
            output_shape=tuple(map(int, found["output_shape"])),
            output_slots=_unpack_map(found["output_slots"]),
            output_levels=tuple(map(int, found["output_levels"])),
            output_scales=tuple(map(float, found["output_scales"])),
            predicted_logit_error=float(found["predicted_logit_error"]),
        )
    except (*MALFORMED, zlib.error, binascii.Error) as error:
        raise FormatError(f"{path}: field {error} is missing or malformed; the file is altered") from error
    check_security(spec.params)
    _check_client(spec, path)
    return spec


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
            Constant(row, int(level), float(scale))
            for row, level, scale in zip(slots, found["constant_levels"], found["constant_scales"], strict=True)
        )
        plan = Plan(
            params=_params(found["params"]),
            inputs=int(found["inputs"]),
            input_level=int(found["input_level"]),
            input_scale=float(found["input_scale"]),
            ops=ops,
            constants=constants,
            outputs=tuple(map(int, found["outputs"])),
        )
    except (*MALFORMED, SafetensorError) as error:
        raise FormatError(f"{path}: field {error} is missing or malformed; the file is altered") from error
    bundle_id = plan_digest(plan)
    if found.get("bundle_id") != bundle_id:
        raise FormatError(f"{path}: field 'bundle_id' is not the digest of the plan; the file is altered")
    check_security(plan.params)
    try:
        dry_run(plan)
    except PlanError as error:
        raise FormatError(f"{path}: field 'ops': {error}") from error
    return ServerSpec(bundle_id=bundle_id, plan=plan)


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


def _check_client(spec: ClientSpec, path: Path) -> None:
    slots, size = spec.params.slots, prod(spec.input_shape)
    features = spec.input_slots
    if (
        features.ndim != 3
        or features.shape[1] not in (1, 2)
        or features.shape[2] != slots
        or not -1 <= features.min(initial=0) <= features.max(initial=0) < size
    ):
        raise FormatError(f"{path}: field 'input_slots' does not fit shape {spec.input_shape} in {slots} slots")
    count = len(spec.output_scales)
    places = spec.output_slots
    if places.shape != (prod(spec.output_shape), 2) or not np.all((places >= 0) & (places < [count, slots])):
        raise FormatError(f"{path}: field 'output_slots' does not fit shape {spec.output_shape}")
    levels = (spec.input_level, *spec.output_levels)
    if len(spec.output_levels) != count or not all(1 <= level <= spec.params.levels for level in levels):
        raise FormatError(f"{path}: field 'input_level' or 'output_levels' is out of range")
    if not all(isfinite(scale) and scale > 0 for scale in (spec.input_scale, *spec.output_scales)):
        raise FormatError(f"{path}: field 'input_scale' or 'output_scales' is not positive")
    if not (isfinite(spec.input_low) and isfinite(spec.input_high) and spec.input_low <= spec.input_high):
        raise FormatError(f"{path}: field 'input_low' or 'input_high' is not a range")
    if len(spec.bundle_id) != 64 or not set(spec.bundle_id) <= set("0123456789abcdef"):
        raise FormatError(f"{path}: field 'bundle_id' is not a sha256")
    degree = spec.params.poly_modulus_degree
    if not all(element % 2 == 1 and 1 < element < 2 * degree for element in spec.keys.galois_elements):
        raise FormatError(f"{path}: field 'galois_elements' holds a number that is not a Galois element of N={degree}")


def _op(row: dict[str, Any]) -> Op:
    integers = {name: int(row[name]) for name in ("level", "parts", "steps", "constant")}
    return Op(
        kind=Kind(row["kind"]),
        args=tuple(map(int, row["args"])),
        layer=str(row["layer"]),
        scale=float(row["scale"]),
        **integers,
    )


def _plan_json(plan: Plan, constants: bytes) -> dict[str, Any]:
    return {
        "kind": PLAN_KIND,
        "version": VERSION,
        "params": _params_json(plan.params),
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
    slots: list[NDArray[Any]] = list(real)
    for index, other in zip(complex_constants, imaginary, strict=True):
        slots[index] = (real[index] + 1j * other).astype(np.complex64)
    return slots


def _client_json(spec: ClientSpec) -> dict[str, Any]:
    plain = asdict(spec)
    keys = plain.pop("keys")
    return {
        "kind": CLIENT_KIND,
        "version": VERSION,
        **plain,
        "params": _params_json(spec.params),
        "galois_elements": list(keys["galois_elements"]),
        "relinearize": keys["relinearize"],
        "input_slots": _pack_map(spec.input_slots),
        "output_slots": _pack_map(spec.output_slots),
    }


def _params_json(params: Params) -> dict[str, Any]:
    return {
        "poly_modulus_degree": params.poly_modulus_degree,
        "data_primes": list(params.data_primes),
        "special_prime": params.special_prime,
    }


def _params(found: dict[str, Any]) -> Params:
    special = found["special_prime"]
    return Params(
        poly_modulus_degree=int(found["poly_modulus_degree"]),
        data_primes=tuple(map(int, found["data_primes"])),
        special_prime=None if special is None else int(special),
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _pack_map(slots: NDArray[np.int32]) -> dict[str, Any]:
    packed = zlib.compress(np.ascontiguousarray(slots, dtype="<i4").tobytes(), 9)
    return {"shape": list(slots.shape), "int32_zlib_base64": base64.b64encode(packed).decode()}


def _unpack_map(found: dict[str, Any]) -> NDArray[np.int32]:
    packed = base64.b64decode(found["int32_zlib_base64"], validate=True)
    shape = [int(size) for size in found["shape"]]
    size_bytes = 4 * prod(shape)
    if min(shape) < 1 or size_bytes > MAX_MAP_BYTES:
        raise ValueError(f"a slot map of shape {shape}")
    content = zlib.decompressobj().decompress(packed, size_bytes + 1)
    return np.frombuffer(content, dtype="<i4").reshape(shape).astype(np.int32)


def _field(found: dict[str, Any], name: str, kind: type, place: str) -> Any:
    if not isinstance(found.get(name), kind):
        raise FormatError(f"{place}: field '{name}' is missing or malformed; the file is altered")
    return found[name]
