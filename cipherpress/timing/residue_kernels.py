"""Kernel times of throughput plans on this machine: single layers and squares in turn, and the fit to them.

Every plan runs from residues in memory to residues in memory, on one thread. The time is that of the thread, so that
other work on the machine counts less, and of the rounds the lower quartile. The times of `secure.residues.times` are
fitted by least squares of the relative errors. Where these plans cannot tell two times apart, they stay near the
typical ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from statistics import fmean, quantiles
from time import thread_time

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from cipherpress.timing.residue_plans import layer_alone, squares_alone
from secure.coded.plan import FRESH_PARTS, BatchPlan
from secure.residues.evaluator import BatchEvaluator
from secure.residues.times import (
    TYPICAL_RESIDUE_TIMES,
    ResidueTimes,
    Way,
    moved_counts,
    preferring,
    step_counts,
    time_ms,
)

ROUNDS = 9
#: The weight of a time's relative change against the relative error of a plan.
HOLD = 0.05
NAMES = tuple(field.name for field in fields(ResidueTimes))
#: Times that make every linear layer dense, every one sparse, and every one by digits.
DENSE, SPARSE, DIGITS = map(preferring, (Way.BLAS, Way.SPARSE, Way.DIGITS))


@dataclass(frozen=True)
class ResidueCase:
    """A plan, how its linear layers are chosen, and the positions of a chunk."""

    plan: BatchPlan
    choice: ResidueTimes = TYPICAL_RESIDUE_TIMES
    chunk: int | None = None


@dataclass(frozen=True)
class ResidueMeasurement:
    """Fitted times; milliseconds measured and predicted, by plan."""

    times: ResidueTimes
    measured_ms: Mapping[str, float]
    predicted_ms: Mapping[str, float]

    @property
    def mean_relative_error(self) -> float:
        """The mean of |predicted / measured - 1| over the plans."""
        return fmean(abs(self.predicted_ms[name] / took - 1) for name, took in self.measured_ms.items())


def measure_residues(cases: Mapping[str, ResidueCase] | None = None, rounds: int = ROUNDS) -> ResidueMeasurement:
    """The kernel times of this machine, fitted to plans; to `residue_cases` where none are given.

    The first call on a machine also compiles kernels.
    """
    cases = cases or residue_cases()
    took_ms = plan_ms(cases, rounds)
    counts = {name: counted(case) for name, case in cases.items()}
    times = fit_residue_times(counts, took_ms)
    prices = np.array([getattr(times, name) for name in NAMES])
    return ResidueMeasurement(times, took_ms, {name: float(row @ prices) for name, row in counts.items()})


def residue_cases() -> Mapping[str, ResidueCase]:
    """Plans that the times are fitted to: linear layers in every way, squares, and chunks of several lengths."""
    cases = {f"dense {rows}x{columns}": ResidueCase(layer_alone(rows, columns, 1.0), DENSE)
             for rows, columns in ((300, 784), (64, 784), (16, 784), (100, 300))}  # fmt: skip
    for rows, columns in ((300, 784), (64, 784), (12, 784), (1000, 30), (100, 300)):
        cases[f"digits {rows}x{columns}"] = ResidueCase(layer_alone(rows, columns, 1.0), DIGITS)
    for rows, columns, density in (
        (64, 784, 0.3), (64, 784, 0.15), (64, 784, 0.05), (300, 784, 0.15), (300, 784, 0.03), (300, 784, 0.01),
        (100, 300, 0.1), (1000, 1000, 0.05),
    ):  # fmt: skip
        cases[f"sparse {rows}x{columns} {density:.0%}"] = ResidueCase(layer_alone(rows, columns, density), SPARSE)
    for features, squares in ((64, 1), (400, 1), (3000, 1), (64, 2), (400, 2), (64, 3), (64, 4)):
        cases[f"{squares} squares of {features}"] = ResidueCase(squares_alone(features, squares))
    for chunk in (32, 128, 512):
        cases[f"chunks of {chunk}"] = ResidueCase(squares_alone(20, 2), chunk=chunk)
    return cases


def plan_ms(cases: Mapping[str, ResidueCase], rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds of a block on one thread, all primes together: the lower quartile of rounds in turn."""
    generator, runs = np.random.default_rng(0), {}
    for name, case in cases.items():
        evaluator = BatchEvaluator(case.plan, chunk=case.chunk, times=case.choice)
        shape = case.plan.inputs, FRESH_PARTS, case.plan.params.poly_modulus_degree
        half = min(case.plan.params.data_primes) // 2
        runs[name] = evaluator, generator.integers(-half, half, shape).astype(np.float64)
        evaluator.run(0, runs[name][1])  # compiles, and brings memory in
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (evaluator, residues) in runs.items():
            start = thread_time()
            for which in range(cases[name].plan.params.levels):
                evaluator.run(which, residues)
            times[name].append(1e3 * (thread_time() - start))
    return {name: quantiles(found, n=4)[0] for name, found in times.items()}


def counted(case: ResidueCase) -> NDArray[np.float64]:
    """How often a block pays each time, in milliseconds per unit of the time; in the order of NAMES."""
    total = np.zeros(len(NAMES))
    chunk = BatchEvaluator(case.plan, chunk=case.chunk).chunk
    for prime in case.plan.params.data_primes:
        for counts in (
            moved_counts(case.plan, chunk),
            *(step_counts(case.plan, index, prime, chunk, case.choice) for index in range(len(case.plan.steps))),
        ):
            for place, name in enumerate(NAMES):
                one = replace(TYPICAL_RESIDUE_TIMES, **{other: float(other == name) for other in NAMES})
                total[place] += time_ms(counts, one)
    return total


def fit_residue_times(counts: Mapping[str, NDArray[np.float64]], measured_ms: Mapping[str, float]) -> ResidueTimes:
    """The times with the least squares of relative errors, none below zero. counts: of plans, as `counted` gives."""
    rows = np.stack([row / measured_ms[name] for name, row in counts.items()])
    typical = np.array([getattr(TYPICAL_RESIDUE_TIMES, name) for name in NAMES])
    held = HOLD * np.diag(1 / typical)
    found, _ = nnls(np.concatenate([rows, held]), np.append(np.ones(len(rows)), HOLD * np.ones(len(held))))
    return ResidueTimes(**{name: float(value) for name, value in zip(NAMES, found, strict=True)})
