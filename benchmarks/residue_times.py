"""The times of the kernels of a throughput plan on this machine, fitted, and how well they predict whole networks.

    python -m benchmarks.residue_times

Every plan below runs in turn, from residues in memory to residues in memory, on one thread; the time is that of the
thread, so that other work on the machine counts less, and of the rounds the lower quartile. The times of
`secure.residues.times` are fitted to the first plans by least squares of the relative errors. Where these plans cannot
tell two times apart, they stay near the typical ones. The networks after them are not part of the fit.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from statistics import quantiles
from time import thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.batch_networks import conv_network, dense_layers, layer_alone, squares_alone
from secure.coded.plan import FRESH_PARTS, BatchPlan
from secure.residues.evaluator import BatchEvaluator
from secure.residues.times import (
    TYPICAL_RESIDUE_TIMES,
    ResidueTimes,
    Way,
    moved_counts,
    predicted_ms,
    preferring,
    step_counts,
    time_ms,
)

ROUNDS = 15
#: The weight of a time's relative change against the relative error of a plan.
HOLD = 0.05
NAMES = tuple(field.name for field in fields(ResidueTimes))
#: Times that make every linear layer dense, every one sparse, and every one by digits.
DENSE, SPARSE, DIGITS = map(preferring, (Way.BLAS, Way.SPARSE, Way.DIGITS))


@dataclass(frozen=True)
class Case:
    """A plan, how its linear layers are chosen, and the positions of a chunk."""

    plan: BatchPlan
    choice: ResidueTimes = TYPICAL_RESIDUE_TIMES
    chunk: int | None = None


def fitted_cases() -> Mapping[str, Case]:
    """Plans whose times the constants are fitted to."""
    cases = {f"dense {rows}x{columns}": Case(layer_alone(rows, columns, 1.0), DENSE)
             for rows, columns in ((300, 784), (64, 784), (16, 784), (100, 300))}  # fmt: skip
    for rows, columns in ((300, 784), (64, 784), (12, 784), (1000, 30), (100, 300)):
        cases[f"digits {rows}x{columns}"] = Case(layer_alone(rows, columns, 1.0), DIGITS)
    for rows, columns, density in (
        (64, 784, 0.3), (64, 784, 0.15), (64, 784, 0.05), (300, 784, 0.15), (300, 784, 0.03), (300, 784, 0.01),
        (100, 300, 0.1), (1000, 1000, 0.05),
    ):  # fmt: skip
        cases[f"sparse {rows}x{columns} {density:.0%}"] = Case(layer_alone(rows, columns, density), SPARSE)
    for features, squares in ((64, 1), (400, 1), (3000, 1), (64, 2), (400, 2), (64, 3), (64, 4)):
        cases[f"{squares} squares of {features}"] = Case(squares_alone(features, squares))
    for chunk in (32, 128, 512):
        cases[f"chunks of {chunk}"] = Case(squares_alone(20, 2), chunk=chunk)
    return cases


def networks() -> Mapping[str, Case]:
    """Networks whose times are predicted."""
    mlp, lenet300 = (784, 64, 10), (784, 300, 100, 10)
    return {
        "784-64-10": Case(dense_layers(mlp, 1.0)),
        "784-64-10, 15 % left": Case(dense_layers(mlp, 0.15)),
        "784-64-10, 10 % left": Case(dense_layers(mlp, 0.10)),
        "784-64-10, 5 % left": Case(dense_layers(mlp, 0.05)),
        "784-300-100-10, two primes": Case(dense_layers(lenet300, 1.0, (41, 41), 4096)),
        "784-300-100-10, 3 % left, two primes": Case(dense_layers(lenet300, 0.03, (41, 41), 4096)),
        "784-300-100-10, 3 % left, three primes": Case(dense_layers(lenet300, 0.03, (35, 35, 35), 4096)),
        "two convolutions, 15 % left, five primes": Case(conv_network(0.15, (41,) * 5, 8192)),
    }


def measured_ms(cases: Mapping[str, Case]) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of a block on one thread, all primes together, by case: (ROUNDS,)."""
    generator, runs = np.random.default_rng(0), {}
    for name, case in cases.items():
        evaluator = BatchEvaluator(case.plan, chunk=case.chunk, times=case.choice)
        shape = case.plan.inputs, FRESH_PARTS, case.plan.params.poly_modulus_degree
        half = min(case.plan.params.data_primes) // 2
        runs[name] = evaluator, generator.integers(-half, half, shape).astype(np.float64)
        evaluator.run(0, runs[name][1])  # compiles, and brings memory in
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, (evaluator, residues) in runs.items():
            start = thread_time()
            for which in range(cases[name].plan.params.levels):
                evaluator.run(which, residues)
            times[name].append(1e3 * (thread_time() - start))
    return {name: np.array(values) for name, values in times.items()}


def counts_of(case: Case) -> NDArray[np.float64]:
    """How often a block pays each time, in milliseconds per unit of the time."""
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


def fit(cases: Mapping[str, Case], measured: Mapping[str, float]) -> ResidueTimes:
    """The times with the least squares of relative errors, none below zero."""
    rows = np.stack([counts_of(case) / measured[name] for name, case in cases.items()])
    held = HOLD * np.diag(1 / _vector(TYPICAL_RESIDUE_TIMES))
    found, _ = nnls(np.concatenate([rows, held]), np.append(np.ones(len(rows)), HOLD * np.ones(len(held))))
    return ResidueTimes(**{name: float(value) for name, value in zip(NAMES, found, strict=True)})


def main() -> None:
    """Print the fitted times, and predictions beside measurements."""
    cases = fitted_cases()
    measured = {name: quantiles(values, n=4)[0] for name, values in measured_ms(cases).items()}
    times = fit(cases, measured)
    print("fitted:", ", ".join(f"{name}={getattr(times, name):.3g}" for name in NAMES))
    _report(cases, measured, {name: float(counts_of(case) @ _vector(times)) for name, case in cases.items()})
    nets = networks()
    found = {name: quantiles(values, n=4)[0] for name, values in measured_ms(nets).items()}
    _report(nets, found, {name: predicted_ms(case.plan).total_ms for name, case in nets.items()})


def _vector(times: ResidueTimes) -> NDArray[np.float64]:
    return np.array([getattr(times, name) for name in NAMES])


def _report(cases: Mapping[str, Case], measured: Mapping[str, float], predicted: Mapping[str, Any]) -> None:
    for name, case in cases.items():
        rate = case.plan.params.slots / measured[name] * 1e3
        sys.stdout.write(
            f"{name:<42} {measured[name]:8.2f} ms, predicted {predicted[name]:8.2f} "
            f"({predicted[name] / measured[name]:.2f}), {rate:8.0f} images/s\n"
        )


if __name__ == "__main__":
    main()
