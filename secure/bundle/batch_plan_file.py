"""The plan of a bundle for throughput as plan.json and constants: a row per step, its arrays as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from compress.checks import MALFORMED
from compress.errors import FormatError, PlanError, shown
from secure.bundle.batch_specs import BatchClientSpec, BatchServerSpec
from secure.bundle.client_parts import (
    MODE,
    MOST_FEATURES,
    THROUGHPUT,
    params_json,
    read_mode,
    read_params,
    read_read_inputs,
    read_units,
)
from secure.bundle.fields import Fields
from secure.bundle.folder import PLAN_KIND, PlanContent, constants_sha256, read_plan, stated_bindings
from secure.coded.dry import dry_run
from secure.coded.plan import BatchPlan, Linear, Product, Quadratic, Select, Step, Sum
from secure.params import MAX_PRIME_BITS, check_security

#: The version of what the bundle id is computed from. It stands where plan.json has the version of the folder.
BATCH_PLAN_VERSION = 1
#: The most steps of a plan, and values that one step reads.
MOST_STEPS, MOST_SOURCES = 2**16, 2**12

STEPS: Mapping[str, type[Step]] = MappingProxyType(
    {"linear": Linear, "quadratic": Quadratic, "product": Product, "sum": Sum, "select": Select}
)
#: The arrays of every kind of step: type and axes.
_NUMBERS, _WHOLE_NUMBERS = (np.dtype(np.float64), 1), (np.dtype(np.int64), 1)
_CODES = (np.dtype(np.int32), 1)
ARRAYS: Mapping[type[Step], Mapping[str, tuple[np.dtype[Any], int]]] = MappingProxyType(
    {
        Linear: {
            "scales": _NUMBERS, "starts": _WHOLE_NUMBERS, "columns": _CODES, "codes": _CODES, "bias": _NUMBERS,
        },
        Quadratic: {"scales": _NUMBERS, "square": _NUMBERS, "linear": _NUMBERS, "constant": _NUMBERS},
        Product: {"scales": _NUMBERS},
        Sum: {"scales": _NUMBERS, "factors": (np.dtype(np.float64), 2)},
        Select: {"scales": _NUMBERS, "indices": _WHOLE_NUMBERS, "factors": _NUMBERS},
    }
)  # fmt: skip


def batch_plan_content(plan: BatchPlan) -> PlanContent:
    """What the files of a plan hold, but for the bindings."""
    constants = save_tensors(
        {
            f"{number}.{name}": np.ascontiguousarray(getattr(step, name), dtype=dtype)
            for number, step in enumerate(plan.steps)
            for name, (dtype, _) in ARRAYS[type(step)].items()
        }
    )
    kinds = {kind: name for name, kind in STEPS.items()}
    fields = {
        "kind": PLAN_KIND,
        "version": BATCH_PLAN_VERSION,
        MODE: THROUGHPUT,
        "params": params_json(plan.params),
        "inputs": plan.inputs,
        "input_scale": plan.input_scale,
        "upload_bits_dropped": plan.upload_bits_dropped,
        **({"units": list(plan.units)} if plan.units else {}),
        **({"read_inputs": list(plan.read_inputs)} if plan.read_inputs else {}),
        "steps": [
            {"kind": kinds[type(step)], "layer": step.layer, "sources": list(step.sources)} for step in plan.steps
        ],
        "constants_sha256": constants_sha256(constants),
    }
    return PlanContent(fields, constants)


def read_batch_plan(stated: Fields, content: bytes) -> BatchPlan:
    """The plan, of secure parameters, with arrays of the right types. Nothing is said about what they hold.

    Raises: FormatError, InsecureParametersError.
    """
    params = read_params(stated.inner("params"))
    check_security(params)
    rows = stated.values.get("steps")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_STEPS or not all(isinstance(row, dict) for row in rows):
        raise stated.wrong("steps", f"a list of 1 to {MOST_STEPS} objects")
    try:
        tensors = load_tensors(content)
    except (*MALFORMED, SafetensorError) as error:
        raise FormatError(f"{stated.where}: the constants cannot be read ({error}); the file is altered") from error
    return BatchPlan(
        params=params,
        inputs=stated.integer("inputs", 1, MOST_FEATURES),
        input_scale=stated.number("input_scale"),
        steps=tuple(_step(stated.where, number, row, tensors) for number, row in enumerate(rows)),
        upload_bits_dropped=stated.integer("upload_bits_dropped", 0, MAX_PRIME_BITS),
        units=read_units(stated),
        read_inputs=read_read_inputs(stated, MOST_FEATURES),
    )


def load_batch_server(folder: str | Path) -> BatchServerSpec:
    """The server's part of a bundle for throughput alone: `secure.bundle.files.load_server`, without loading what
    plans of the other mode need.

    Raises: FormatError, InsecureParametersError.
    """
    stated, constants = read_plan(Path(folder))
    if read_mode(stated) != THROUGHPUT:
        raise stated.wrong(MODE, f"'{THROUGHPUT}'")
    return batch_server_spec(stated, constants)


def batch_server_spec(stated: Fields, constants: bytes) -> BatchServerSpec:
    """The server's part, with every step checked.

    Raises: FormatError, InsecureParametersError.
    """
    plan = read_batch_plan(stated, constants)
    bundle_id = batch_plan_content(plan).digest
    client, report = stated_bindings(stated, bundle_id)
    try:
        dry_run(plan)
    except PlanError as error:
        raise FormatError(f"{stated.where}: field 'steps': {error}") from error
    return BatchServerSpec(bundle_id=bundle_id, plan=plan, client_digest=client, report_sha256=report)


def batch_client_disagreement(spec: BatchClientSpec, plan: BatchPlan) -> str | None:
    """The first field of the client's part that does not agree with the plan; None if all do."""
    wanted = {
        "params": (spec.params, plan.params),
        "read_inputs": (spec.read_inputs, plan.read_inputs),
        "units": (spec.units, plan.units),
        "input_shape": (spec.inputs, plan.inputs),
        "input_scale": (spec.input_scale, plan.input_scale),
        "output_shape": (prod(spec.output_shape), plan.outputs),
        "output_scales": (spec.output_scales.tolist(), plan.output_scales.tolist()),
        "reply_parts": (spec.reply_parts, plan.parts[-1]),
        "upload_bits_dropped": (spec.upload_bits_dropped, plan.upload_bits_dropped),
    }
    return next((name for name, (found, needed) in wanted.items() if found != needed), None)


def _step(where: str, number: int, row: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Step:
    """Raises: FormatError."""
    fields = Fields(f"{where}: field 'steps', {number}", row)
    kind = fields.text("kind")
    if kind not in STEPS:
        raise fields.wrong("kind", ", ".join(STEPS))
    arrays: dict[str, NDArray[Any]] = {}
    for name, (dtype, axes) in ARRAYS[STEPS[kind]].items():
        found = tensors.get(f"{number}.{name}")
        if found is None or found.dtype != dtype or found.ndim != axes:
            what = "missing" if found is None else f"{found.dtype} of shape {shown(list(found.shape))}"
            raise FormatError(
                f"{where}: tensor '{number}.{name}' is {what}; allowed: {dtype} with {axes} axes; the file is altered"
            )
        arrays[name] = found
    sources = fields.integers("sources", 0, number, least=1, most=MOST_SOURCES)
    return STEPS[kind](layer=fields.text("layer"), sources=sources, **arrays)
