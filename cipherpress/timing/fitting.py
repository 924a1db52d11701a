"""Kernel times from measured operations: least squares on the relative error, no coefficient below zero. Pure.

The columns of the fit are the time that one nanosecond of each kernel adds to an operation. They come from the counts
themselves, so the fit follows the kernels that a plan's costs are counted in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from secure.kernels.counts import KernelCounts, KernelTimes, operation_kernels
from secure.kernels.requests import RequestTimes, StepTimes
from secure.kernels.seal import seal_operation_kernels
from secure.plan import Kind

Array = NDArray[np.float64]
#: (kind, level, ring degree) -> kernels of an operation, as SEAL or as the engine runs it.
Counting = Callable[[Kind, int, int], KernelCounts]


@dataclass(frozen=True)
class Measured:
    """One measured cell: microseconds of one operation at a working level of a ring."""

    kind: Kind
    degree: int
    level: int
    microseconds: float


@dataclass(frozen=True)
class MeasuredPlan:
    """One measured plan: its kernels and the microseconds of a run."""

    kernels: KernelCounts
    microseconds: float


def predicted_us(cell: Measured, times: KernelTimes, counting: Counting = seal_operation_kernels) -> float:
    """The kernel model's prediction for a cell, in microseconds."""
    return times.milliseconds(counting(cell.kind, cell.level, cell.degree)) * 1e3


def kernel_names() -> tuple[str, ...]:
    """The coefficients of KernelTimes."""
    return tuple(item.name for item in fields(KernelTimes))


def fit_kernel_times(
    cells: Sequence[Measured], counting: Counting = seal_operation_kernels, plans: Sequence[MeasuredPlan] = ()
) -> KernelTimes:
    """The kernel times with the least mean squared relative error on the cells; cells without kernels are left out.

    With plans, the sum of this mean and of the mean over the plans is the least. A call takes longer in a plan than in
    a loop over one operation, so the time of a call is then found from the plans alone (derived).
    """
    names = kernel_names()
    units = [KernelTimes(**{name: float(name == chosen) for name in names}) for chosen in names]
    counted = [(counting(cell.kind, cell.level, cell.degree), cell.microseconds) for cell in cells if has_kernels(cell)]
    lone = _shares(counted, units)
    if not plans:
        return _times(nonnegative_least_squares(lone, np.ones(len(lone))))
    whole = _shares([(plan.kernels, plan.microseconds) for plan in plans], units)
    call, no_calls = names.index("call_us"), np.zeros(len(whole))
    apart = np.column_stack([lone, lone[:, call]])
    apart[:, call] = 0.0
    rows = np.vstack([apart / np.sqrt(len(lone)), np.column_stack([whole, no_calls]) / np.sqrt(len(whole))])
    target = np.concatenate([np.full(len(lone), len(lone) ** -0.5), np.full(len(whole), len(whole) ** -0.5)])
    return _times(nonnegative_least_squares(rows, target)[:-1])


@dataclass(frozen=True)
class MeasuredStep:
    """One measured step of a request: its name in RequestTimes, ring degree, level, ciphertexts, and microseconds."""

    step: str
    degree: int
    level: int
    ciphertexts: int
    microseconds: float


def fit_request_times(measured: Sequence[MeasuredStep]) -> RequestTimes:
    """The times with the least mean squared relative error, step by step.

    Raises: ValueError for a step that was not measured.
    """
    return RequestTimes(**{item.name: _fit_step(item.name, measured) for item in fields(RequestTimes)})


def predicted_step_us(cell: MeasuredStep, times: RequestTimes) -> float:
    """The prediction for a step, in microseconds."""
    step: StepTimes = getattr(times, cell.step)
    return step.milliseconds(cell.ciphertexts, cell.level, cell.degree) * 1e3


def _fit_step(name: str, measured: Sequence[MeasuredStep]) -> StepTimes:
    own = [cell for cell in measured if cell.step == name]
    if not own:
        raise ValueError(f"step '{name}' was not measured")
    names = [item.name for item in fields(StepTimes)]
    units = [StepTimes(**{one: float(one == chosen) for one in names}) for chosen in names]
    shares = np.array(
        [
            [unit.milliseconds(cell.ciphertexts, cell.level, cell.degree) * 1e3 / cell.microseconds for unit in units]
            for cell in own
        ]
    )
    solution = nonnegative_least_squares(shares, np.ones(len(own)))
    return StepTimes(**dict(zip(names, (float(value) for value in solution), strict=True)))


def _shares(counted: Sequence[tuple[KernelCounts, float]], units: Sequence[KernelTimes]) -> Array:
    """Shape (measurements, kernels): the share of a measurement that a kernel time of one would explain."""
    return np.array([[unit.milliseconds(counts) * 1e3 / us for unit in units] for counts, us in counted])


def _times(solution: Array) -> KernelTimes:
    return KernelTimes(**dict(zip(kernel_names(), (float(value) for value in solution), strict=True)))


def has_kernels(cell: Measured) -> bool:
    """False for an operation that the kernel model counts as a call alone (dropping a prime)."""
    counts = operation_kernels(cell.kind, cell.level, cell.degree)
    return any(getattr(counts, item.name) for item in fields(counts) if item.name != "calls")


def relative_errors(
    cells: Sequence[Measured], times: KernelTimes, counting: Counting = seal_operation_kernels
) -> Array:
    """predicted / measured - 1 of every cell."""
    return np.array([predicted_us(cell, times, counting) / cell.microseconds - 1 for cell in cells])


def nonnegative_least_squares(matrix: Array, target: Array) -> Array:
    """argmin |matrix x - target| with x >= 0, by trying every set of columns (there are only a few)."""
    columns = matrix.shape[1]
    best, best_error = np.zeros(columns), float(np.linalg.norm(target))
    for size in range(1, columns + 1):
        for chosen in combinations(range(columns), size):
            part, *_ = np.linalg.lstsq(matrix[:, chosen], target, rcond=None)
            error = float(np.linalg.norm(matrix[:, chosen] @ part - target))
            if (part >= 0).all() and error < best_error:
                best, best_error = np.zeros(columns), error
                best[list(chosen)] = part
    return best
