"""Kernel times of throughput plans: what is fitted is found again, and real plans give times that predict them."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from cipherpress.timing.residue_kernels import (
    NAMES,
    ResidueCase,
    counted,
    fit_residue_times,
    measure_residues,
    residue_cases,
)
from cipherpress.timing.residue_plans import layer_alone, squares_alone
from secure.residues.times import TYPICAL_RESIDUE_TIMES, Way, predicted_ms, preferring

PLANS = {
    "dense": ResidueCase(layer_alone(16, 64, 1.0), preferring(Way.BLAS)),
    "sparse": ResidueCase(layer_alone(16, 64, 0.2), preferring(Way.SPARSE)),
    "digits": ResidueCase(layer_alone(16, 64, 1.0), preferring(Way.DIGITS)),
    "squares": ResidueCase(squares_alone(12, 2), chunk=64),
}


@pytest.mark.parametrize("name", PLANS)
def test_counts_times_prices_are_the_predicted_time(name):
    case = PLANS[name]
    prices = np.array([getattr(TYPICAL_RESIDUE_TIMES, field) for field in NAMES])
    wanted = predicted_ms(case.plan, choice=case.choice, chunk=case.chunk).total_ms
    assert counted(case) @ prices == pytest.approx(wanted)


def test_the_fit_finds_the_times_of_another_machine():
    factors = np.random.default_rng(0).uniform(0.5, 2, len(NAMES))
    wanted = replace(
        TYPICAL_RESIDUE_TIMES,
        **{name: factor * getattr(TYPICAL_RESIDUE_TIMES, name) for name, factor in zip(NAMES, factors, strict=True)},
    )
    cases = residue_cases()
    counts = {name: counted(case) for name, case in cases.items()}
    prices = np.array([getattr(wanted, name) for name in NAMES])
    took = {name: float(row @ prices) for name, row in counts.items()}
    found = fit_residue_times(counts, took)
    fitted = np.array([getattr(found, name) for name in NAMES])
    for row, ms in zip(counts.values(), took.values(), strict=True):
        assert row @ fitted == pytest.approx(ms, rel=0.05)
    assert all(value >= 0 for value in asdict(found).values())


def test_plans_are_run_and_their_times_fitted():
    found = measure_residues(PLANS, rounds=3)
    assert set(found.measured_ms) == set(found.predicted_ms) == found.fitted == set(PLANS)
    assert min(found.measured_ms.values()) > 0 and 0 <= found.mean_relative_error < 1


def test_plans_beside_the_fitted_ones_are_predicted_by_their_times():
    other = ResidueCase(squares_alone(30, 1))
    found = measure_residues(PLANS, rounds=2, beside={"other": other})
    assert found.fitted == set(PLANS) and found.measured_ms["other"] > 0
    assert found.predicted_ms["other"] == pytest.approx(predicted_ms(other.plan, times=found.times).total_ms)
    counts = {name: counted(case) for name, case in PLANS.items()}
    assert asdict(fit_residue_times(counts, found.measured_ms)) == asdict(found.times)
