"""Kernel times of throughput plans on this machine: single layers and squares in turn, and the fit to them.

Every plan runs from residues in memory to residues in memory, on one thread. The time is that of the thread, so that
other work on the machine counts less, and of the rounds the lower quartile: a machine's speed jumps by a third within
seconds, so only plans that take turns compare. The times of `secure.residues.times` are fitted by least squares of the
relative errors. Where these plans cannot tell two times apart, they stay near the typical ones.
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
    """Fitted times; milliseconds measured and predicted by plan, of those that were fitted and those beside them."""

    times: ResidueTimes
    measured_ms: Mapping[str, float]
    predicted_ms: Mapping[str, float]
    fitted: frozenset[str]

    @property
    def mean_relative_error(self) -> float:
        """The mean of |predicted / measured - 1| over the fitted plans."""
        return fmean(abs(self.predicted_ms[name] / self.measured_ms[name] - 1) for name in self.fitted)


def measure_residues(
    cases: Mapping[str, ResidueCase] | None = None,
    rounds: int = ROUNDS,
    beside: Mapping[str, ResidueCase] | None = None,
) -> ResidueMeasurement:
    """The kernel times of this machine, fitted to plans; to `residue_cases` where none are given.

    beside: plans that run in the same rounds and are predicted, but not fitted; names that `cases` does not have.
    The first call on a machine also compiles kernels.
    """
    cases = cases or residue_cases()
    everything = {**cases, **(beside or {})}
    took_ms = plan_ms(everything, rounds)
    counts = {name: counted(case) for name, case in everything.items()}
    times = fit_residue_times({name: counts[name] for name in cases}, took_ms)
    prices = np.array([getattr(times, name) for name in NAMES])
    predicted = {name: float(row @ prices) for name, row in counts.items()}
    return ResidueMeasurement(times, took_ms, predicted, frozenset(cases))


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
    return {name: quantiles(found, n=4)[0] for name, found in rounds_ms(cases, rounds).items()}


def rounds_ms(cases: Mapping[str, ResidueCase], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Milliseconds of a block on one thread, all primes together, of every round; the plans take turns.

    A round times one prime of each plan, the next one in the next round, and multiplies by their number: primes of a
    plan differ by a bit at most, so that all take the same.
    """
    generator, evaluators = np.random.default_rng(0), {}
    inputs: dict[tuple[int, ...], NDArray[np.float64]] = {}  # shared: those of a large plan take a gigabyte
    half = min(min(case.plan.params.data_primes) for case in cases.values()) // 2
    for name, case in cases.items():
        evaluators[name] = BatchEvaluator(case.plan, chunk=case.chunk, times=case.choice)
        if (shape := _input_shape(case.plan)) not in inputs:
            inputs[shape] = generator.integers(-half, half, shape).astype(np.float64)
        evaluators[name].run(0, inputs[shape])  # compiles, and brings memory in
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds):
        for name, evaluator in evaluators.items():
            levels = evaluator.plan.params.levels
            start = thread_time()
            evaluator.run(turn % levels, inputs[_input_shape(evaluator.plan)])
            times[name].append(1e3 * levels * (thread_time() - start))
    return times


def _input_shape(plan: BatchPlan) -> tuple[int, int, int]:
    """Of the residues of a block modulo one prime."""
    return plan.inputs, FRESH_PARTS, plan.params.poly_modulus_degree


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
    """The times with the least squares of relative errors, none below zero.

    counts: of the plans to fit, as `counted` gives. measured_ms: of these plans and of others, which do not matter.
    """
    rows = np.stack([row / measured_ms[name] for name, row in counts.items()])
    typical = np.array([getattr(TYPICAL_RESIDUE_TIMES, name) for name in NAMES])
    held = HOLD * np.diag(1 / typical)
    found, _ = nnls(np.concatenate([rows, held]), np.append(np.ones(len(rows)), HOLD * np.ones(len(held))))
    return ResidueTimes(**{name: float(value) for name, value in zip(NAMES, found, strict=True)})
