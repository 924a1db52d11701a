"""Kernel times of this machine: single operations at a few rings and levels, and the fit that the predictions use.

This is a short form of the benchmarks that made the committed tables (`benchmarks.calibrate_cpu_engine` and
`calibrate_cpu_seal`). Clock and fit are the same; there are fewer operations and fewer rounds. Times are process CPU
time on one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from cipherpress.timing import engine_operations, seal_operations
from cipherpress.timing.fitting import (
    Measured,
    MeasuredPlan,
    MeasuredStep,
    fit_kernel_times,
    fit_request_times,
    has_kernels,
    predicted_step_us,
    relative_errors,
)
from cipherpress.timing.request_operations import REQUEST_CIPHERTEXTS, REQUEST_RINGS, RequestRings, request_steps
from cipherpress.timing.sampling import microseconds_in_turn
from cipherpress.timing.whole_plans import WholePlan, whole_plans
from secure.kernels.counts import KernelTimes
from secure.kernels.engine import lone_operation_kernels
from secure.kernels.requests import RequestTimes
from secure.plan import Kind

Cell = tuple[Kind, int, int]

#: Interleaved rounds over all operations; a time is the median of as many ratios.
ROUNDS = 7
#: (ring degree, data primes, measured levels, bits of a prime)
Rings = tuple[tuple[int, int, tuple[int, ...], float], ...]
ENGINE_RINGS: Rings = ((4096, 2, (1, 2), 30.0), (8192, 3, (1, 2, 3), 40.0), (16384, 5, (3, 5), 47.0))
SEAL_RINGS: Rings = ((4096, 2, (1, 2), 30.0), (8192, 4, (2, 4), 40.0), (16384, 6, (4, 6), 47.0))
REFERENCE: Cell = (Kind.ROTATE, 8192, 2)


@dataclass(frozen=True)
class Measurement:
    """Fitted kernel times, and the mean of |predicted / measured - 1|: over whole plans under the engine, over single
    operations under SEAL.
    """

    times: KernelTimes
    mean_relative_error: float


@dataclass(frozen=True)
class InTurn:
    """CPU microseconds that were measured in turn.

    They are of single operations, of whole plans, of other calls by name, and of every sample of the reference.
    """

    cells: tuple[Measured, ...]
    plans: tuple[MeasuredPlan, ...]
    others: Mapping[str, float]
    reference_us: tuple[float, ...]


def measure_engine(rings: Rings = ENGINE_RINGS, rounds: int = ROUNDS) -> Measurement:
    """The engine's kernel times, from single operations and whole plans in turn; REFERENCE must be among the rings.

    The first call on a machine also compiles the kernels.
    """
    found = measured_in_turn(engine_operations, rings, rounds, tuple(whole_plans()))
    times = fit_kernel_times(found.cells, lone_operation_kernels, found.plans)
    errors = [times.milliseconds(plan.kernels) * 1e3 / plan.microseconds - 1 for plan in found.plans]
    return Measurement(times, float(np.mean(np.abs(errors))))


def measure_seal(rings: Rings = SEAL_RINGS, rounds: int = ROUNDS) -> Measurement:
    """SEAL's kernel times, from single operations; REFERENCE must be among the rings."""
    found = measured_in_turn(seal_operations, rings, rounds)
    cells = [cell for cell in found.cells if has_kernels(cell)]
    times = fit_kernel_times(cells)
    return Measurement(times, float(np.mean(np.abs(relative_errors(cells, times)))))


@dataclass(frozen=True)
class RequestMeasurement:
    """Fitted times of a request's steps, and the mean of |predicted / measured - 1| over steps and rings."""

    times: RequestTimes
    mean_relative_error: float


def measure_requests(rings: RequestRings = REQUEST_RINGS, rounds: int = ROUNDS) -> RequestMeasurement:
    """Times of the steps of a request. The first call on a machine also compiles kernels."""
    calls = dict(request_steps(rings))
    took_us, _ = microseconds_in_turn(calls, next(iter(calls)), rounds)
    cells = [MeasuredStep(*cell, REQUEST_CIPHERTEXTS, took_us[cell]) for cell in calls]
    times = fit_request_times(cells)
    errors = [predicted_step_us(cell, times) / cell.microseconds - 1 for cell in cells]
    return RequestMeasurement(times, float(np.mean(np.abs(errors))))


def measured_in_turn(
    runtime: Any,
    rings: Rings,
    rounds: int,
    plans: Sequence[WholePlan] = (),
    others: Mapping[str, Callable[[], object]] = MappingProxyType({}),
) -> InTurn:
    """Times of operations, plans and other calls, measured in turn so that the machine's speed is the same for all.

    runtime: `engine_operations` or `seal_operations`. REFERENCE must be among the rings.
    """
    operations = dict(_calls(runtime, rings))
    runs = {plan.widths: plan.run for plan in plans}
    took_us, reference_us = microseconds_in_turn({**operations, **runs, **others}, REFERENCE, rounds)
    return InTurn(
        cells=tuple(Measured(*cell, took_us[cell]) for cell in operations),
        plans=tuple(MeasuredPlan(plan.kernels, took_us[plan.widths]) for plan in plans),
        others=MappingProxyType({name: took_us[name] for name in others}),
        reference_us=tuple(reference_us),
    )


def _calls(runtime: Any, rings: Rings) -> Iterator[tuple[Cell, Callable[[], object]]]:
    for degree, primes, levels, bits in rings:
        ring = runtime.make_ring(degree, primes, bits)
        for level in levels:
            for kind, call in runtime.operations(ring, level):
                yield (kind, degree, level), call
