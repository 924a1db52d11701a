"""The plan of a bundle for latency as plan.json and constants: operations in columns, plaintexts as tensors."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from compress.checks import MALFORMED
from compress.errors import FormatError, shown
from secure.bundle.client_parts import params_json, read_params
from secure.bundle.fields import Fields
from secure.bundle.folder import CONSTANTS_FILE, PLAN_KIND, PlanContent, constants_sha256
from secure.bundle.specs import ClientSpec
from secure.params import check_security
from secure.plan import Constant, Kind, Op, Plan

#: The version of what the bundle id is computed from. It stands where plan.json has the version of the folder.
PLAN_VERSION = 2
OP_FIELDS = tuple(field.name for field in fields(Op))


def plan_content(plan: Plan) -> PlanContent:
    """What the files of a plan hold, but for the bindings."""
    constants = _constants_bytes(plan)
    return PlanContent(_plan_json(plan, constants), constants)


def read_latency_plan(stated: Fields, content: bytes) -> Plan:
    """The plan, of secure parameters and well-formed constants.

    Raises: FormatError, InsecureParametersError.
    """
    found = stated.values
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
            params=read_params(stated.inner("params")),
            inputs=_whole(found["inputs"]),
            input_level=_whole(found["input_level"]),
            input_scale=_real(found["input_scale"]),
            ops=ops,
            constants=constants,
            outputs=tuple(map(_whole, found["outputs"])),
        )
    except (*MALFORMED, SafetensorError) as error:
        raise FormatError(f"{stated.where}: field {error} is missing or malformed; the file is altered") from error
    check_security(plan.params)
    if any(constant.slots.shape != (plan.params.slots,) for constant in plan.constants):
        raise FormatError(
            f"{stated.where}: {CONSTANTS_FILE} holds constants that are not of {plan.params.slots} slots; compile again"
        )
    return plan


def client_disagreement(spec: ClientSpec, plan: Plan) -> str | None:
    """The first field of the client's part that does not agree with the plan; None if all do."""
    wanted = {
        "params": plan.params,
        "keys": plan.key_manifest if spec.keys.levels or plan.params.is_hybrid else plan.key_manifest.whole,
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
        "constants_sha256": constants_sha256(constants),
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
