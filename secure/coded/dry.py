"""The dry run of a BatchPlan: every step is checked against the values that it reads, without any data.

Plans from files go through it before they run, so nothing is taken on trust: shapes, ranges of indices, whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError, shown
from secure.coded.plan import BatchPlan, Linear, Product, Quadratic, Select, Step, Sum

#: Allowed relative difference of the scales of a product.
SCALE_TOLERANCE = 1e-9
#: The most parts of a value: seven squares one after the other.
MOST_PARTS = 129
#: The most features of a value, and all numbers of a value's ciphertexts at one position.
MOST_FEATURES = 2**24
#: How many values each kind of step reads; None: one or more.
SOURCES: dict[type[Step], int | None] = {Linear: 1, Quadratic: 1, Product: 2, Sum: None, Select: None}


@dataclass(frozen=True)
class DryRun:
    """What a plan does. parts, features: of every value, the input first. nonzeros: of all matrices. depth: the most
    products of values one after the other. row_sums: by step number, the largest sum of absolute codes in a row."""

    parts: tuple[int, ...]
    features: tuple[int, ...]
    nonzeros: int
    depth: int
    row_sums: dict[int, int]


def dry_run(plan: BatchPlan) -> DryRun:
    """Check every step of a plan. Raises: PlanError naming the layer and the field."""
    _check_head(plan)
    features, parts, depths = [plan.inputs], [2], [0]
    row_sums: dict[int, int] = {}
    scales = [np.full(plan.inputs, plan.input_scale)]
    for number, step in enumerate(plan.steps):
        _check_sources(step, number + 1)
        sizes = [features[source] for source in step.sources]
        _check_numbers(step, "scales", step.scales, whole=False)
        _require(step, len(step.scales) > 0 and bool((step.scales > 0).all()), "scales", "must be above 0")
        _require(step, step.features <= MOST_FEATURES, "scales", f"holds more than {MOST_FEATURES} features")
        _check_step(step, sizes, [scales[source] for source in step.sources])
        if plan.units:
            _check_homogeneous(step, [parts[source] for source in step.sources])
        if isinstance(step, Linear):
            row_sums[number] = largest_row_sum(step)
        multiplies = isinstance(step, Product | Quadratic)
        own = [parts[source] for source in step.sources]
        parts.append(2 * own[0] - 1 if isinstance(step, Quadratic) else sum(own) - 1 if multiplies else max(own))
        _require(step, parts[-1] <= MOST_PARTS, "sources", f"make a value of {parts[-1]} parts, beyond {MOST_PARTS}")
        features.append(step.features)
        scales.append(step.scales)
        depths.append(max(depths[source] for source in step.sources) + multiplies)
    nonzeros = sum(step.nonzeros for step in plan.steps if isinstance(step, Linear))
    return DryRun(tuple(parts), tuple(features), nonzeros, depths[-1], row_sums)


def largest_row_sum(step: Linear) -> int:
    """The largest sum of absolute codes in a row."""
    ends = np.concatenate([[0], np.cumsum(np.abs(step.codes.astype(np.int64)))])
    return int((ends[step.starts[1:]] - ends[step.starts[:-1]]).max(initial=0))


def _check_head(plan: BatchPlan) -> None:
    dropped, primes = plan.upload_bits_dropped, plan.params.data_primes
    faults = {
        "steps": "a plan needs at least one" if not plan.steps else "",
        "inputs": "must be above 0" if not 0 < plan.inputs <= MOST_FEATURES else "",
        "input_scale": "must be a number above 0" if not 0 < plan.input_scale or not isfinite(plan.input_scale) else "",
        "params": "has a special prime, but a plan without keys has none" if plan.params.special_prime else "",
        "upload_bits_dropped": "must be 0, or with one prime less than its bits"
        if not (dropped == 0 or (len(primes) == 1 and 0 < dropped < primes[0].bit_length() - 1))
        else "",
        "read_inputs": "must be one ascending number for every input that is no unit"
        if plan.read_inputs
        and not (
            len(plan.read_inputs) + len(plan.units) == plan.inputs
            and plan.read_inputs[0] >= 0
            and all(a < b for a, b in pairwise(plan.read_inputs))
        )
        else "",
        "units": "must be numbers above 0, fewer than inputs"
        if not (len(plan.units) < max(plan.inputs, 1) and all(0 < unit < inf for unit in plan.units))
        else "",
    }
    for field, fault in faults.items():
        if fault:
            raise PlanError(None, f"plan: field '{field}': got {shown(getattr(plan, field))}; {fault}")


def _check_sources(step: Step, values: int) -> None:
    if type(step) not in SOURCES:
        raise PlanError(step.layer, f"{type(step).__name__} is no step of a plan")
    wanted = SOURCES[type(step)]
    count = len(step.sources)
    _require(step, count > 0 if wanted is None else count == wanted, "sources", f"has {count} values")
    _require(step, all(0 <= s < values for s in step.sources), "sources", "names a value that is not made yet")


def _check_step(step: Step, sizes: list[int], scales: list[NDArray[np.float64]]) -> None:
    """sizes, scales: of the values that the step reads."""
    match step:
        case Linear():
            _check_matrix(step, sizes[0])
        case Quadratic():
            for name in ("square", "linear", "constant"):
                _check_numbers(step, name, getattr(step, name), shape=(sizes[0],))
            _require(step, step.features == sizes[0], "scales", f"has {step.features} features, its source {sizes[0]}")
        case Product():
            _require(step, {step.features} == set(sizes), "sources", f"have {sizes} features, not {step.features}")
            close = np.isclose(scales[0] * scales[1], step.scales, rtol=SCALE_TOLERANCE, atol=0)
            _require(step, bool(close.all()), "scales", "are not the products of the sources' scales")
        case Sum():
            _require(step, {step.features} == set(sizes), "sources", f"have {sizes} features, not {step.features}")
            _check_numbers(step, "factors", step.factors, shape=(len(sizes), step.features))
        case Select():
            _check_numbers(step, "factors", step.factors, shape=(step.features,))
            _require(step, step.indices.shape == (step.features,), "indices", f"has shape {step.indices.shape}")
            inside = step.indices.min() >= -1 and step.indices.max() < sum(sizes)
            _require(step, bool(inside), "indices", f"leave the {sum(sizes)} features of the sources")


def _check_homogeneous(step: Step, parts: list[int]) -> None:
    """In a plan with units, all terms of a value have one degree. parts: of the step's sources."""
    for name in ("bias", "linear", "constant"):
        _require(step, not np.any(getattr(step, name, 0)), name, "is not zero in a plan with units")
    _require(step, isinstance(step, Product) or len(set(parts)) == 1, "sources", "have terms of several degrees")


def _check_matrix(step: Linear, columns: int) -> None:
    _check_numbers(step, "bias", step.bias, shape=(step.features,))
    starts, count = step.starts, len(step.codes)
    _require(step, starts.shape == (step.features + 1,), "starts", f"has shape {starts.shape}")
    ordered = starts[0] == 0 and starts[-1] == count and bool((np.diff(starts) >= 0).all())
    _require(step, bool(ordered), "starts", f"are no rows of {count} codes")
    _require(step, step.columns.shape == (count,), "columns", f"has shape {step.columns.shape}, codes ({count},)")
    inside = not count or (step.columns.min() >= 0 and step.columns.max() < columns)
    _require(step, bool(inside), "columns", f"leave the {columns} features of the source")


def _check_numbers(
    step: Step, name: str, values: NDArray[np.float64], *, shape: tuple[int, ...] | None = None, whole: bool = True
) -> None:
    _require(step, shape is None or values.shape == shape, name, f"has shape {values.shape}, not {shape}")
    _require(step, bool(np.isfinite(values).all()), name, "holds a number that is not finite")
    _require(step, not whole or bool((np.rint(values) == values).all()), name, "holds a number that is not whole")


def _require(step: Step, fulfilled: bool, field: str, fault: str) -> None:
    if not fulfilled:
        raise PlanError(step.layer, f"field '{field}' {fault}; the plan is inconsistent, compile again")
