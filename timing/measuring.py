"""Kernel times of this machine: single operations at a few rings and levels, and the fit that the predictions use.

A short form of the benchmarks that made the committed tables (`benchmarks.calibrate_cpu_engine`, `calibrate_cpu_seal`): the same operations,
clock and fit, fewer of them, a few rounds. Process CPU time on one thread.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwmodel.fitting import Counting, Measured, fit_kernel_times, has_kernels, relative_errors
from secure.engine_kernels import lone_operation_kernels
from secure.kernels import KernelTimes, operation_kernels
from secure.plan import Kind
from timing import engine_operations, seal_operations
from timing.sampling import time_operations
from timing.whole_plans import corrected, plan_samples

Progress = Callable[[str, float], None]
Cell = tuple[Kind, int, int]

#: Interleaved rounds over all operations: the median of as many ratios.
ROUNDS = 7
#: (ring degree, data primes, measured levels, bits of a prime)
Rings = tuple[tuple[int, int, tuple[int, ...], float], ...]
ENGINE_RINGS: Rings = ((4096, 2, (1, 2), 30.0), (8192, 3, (1, 2, 3), 40.0), (16384, 5, (3, 5), 47.0))
SEAL_RINGS: Rings = ((4096, 2, (1, 2), 30.0), (8192, 4, (2, 4), 40.0), (16384, 6, (4, 6), 47.0))
REFERENCE: Cell = (Kind.ROTATE, 8192, 2)


@dataclass(frozen=True)
class Measurement:
    """Fitted kernel times, and the mean of |predicted / measured - 1| over the operations they were fitted to."""

    times: KernelTimes
    mean_relative_error: float


def measure_engine(rings: Rings = ENGINE_RINGS, rounds: int = ROUNDS) -> Measurement:
    """The engine's kernels, corrected on whole plans; REFERENCE must be among the rings. The first call on a machine also compiles
    them."""
    found = _measured(_calls(engine_operations, rings), lone_operation_kernels, rounds)
    return replace(found, times=corrected(found.times, plan_samples(found.times)))


def measure_seal(rings: Rings = SEAL_RINGS, rounds: int = ROUNDS) -> Measurement:
    """SEAL's kernels; REFERENCE must be among the rings."""
    return _measured(_calls(seal_operations, rings), operation_kernels, rounds)


def _calls(runtime: Any, rings: Rings) -> Iterator[tuple[Cell, Callable[[], object]]]:
    for degree, primes, levels, bits in rings:
        ring = runtime.make_ring(degree, primes, bits)
        for level in levels:
            for kind, call in runtime.operations(ring, level):
                yield (kind, degree, level), call


def _measured(found: Iterator[tuple[Cell, Callable[[], object]]], counting: Counting, rounds: int) -> Measurement:
    calls = dict(found)
    for call in calls.values():
        call()  # the engine's first calls compile
    timings, anchors = time_operations(calls, calls[REFERENCE], rounds)
    anchor_us = statistics.quantiles(anchors, n=4)[0]
    cells = [Measured(*timing.key, timing.ratio * anchor_us) for timing in timings]
    priced = [cell for cell in cells if has_kernels(cell)]
    times = fit_kernel_times(priced, counting)
    return Measurement(times, float(np.mean(np.abs(relative_errors(priced, times, counting)))))
