"""The bound of errors over inputs in which they reach differently far, held against fresh inputs and exact answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from secure.bounds.tail import EXCEEDING, upper_tail
from secure.noise import BOUND_SIGMAS
from secure.throughput.mixture import MADE_FOR, mixed_bound

ROWS, FRESH = 1024, 400_000


@pytest.mark.parametrize("outputs", [1, 10])
def test_where_all_inputs_are_alike_it_is_a_quantile_of_the_normal_distribution(outputs: int) -> None:
    found = mixed_bound(np.zeros(ROWS), np.full(ROWS, 2.0), outputs)
    wanted = 2 * norm.isf(MADE_FOR * EXCEEDING / 2 / outputs)
    assert wanted <= found < 1.12 * wanted  # a fitted tail is never as short as this one


@pytest.mark.parametrize("spread", [0.1, 0.3, 0.6])
def test_fewer_fresh_inputs_than_promised_exceed_it_and_it_is_closer_than_six_sigma_of_the_hardest(
    spread: float,
) -> None:
    """Standard deviations by a lognormal distribution, whose tail gets heavy; systematic errors beside them."""
    over, closer = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sigmas = np.exp(spread * rng.normal(size=ROWS))
        systematic = 0.3 * sigmas * rng.random(ROWS)
        bound = mixed_bound(systematic, sigmas, 1)
        fresh = np.exp(spread * rng.normal(size=FRESH))
        errors = np.abs(0.3 * fresh * rng.random(FRESH) + fresh * rng.normal(size=FRESH))
        over.append(np.mean(errors > bound))
        closer.append(bound / upper_tail(systematic + BOUND_SIGMAS * sigmas))
        assert bound < 4 * np.sort(errors)[-FRESH // 10_000]  # what one input in 10,000 exceeds
    assert max(over) < EXCEEDING and max(closer) < 0.95


def test_systematic_errors_alone() -> None:
    found = mixed_bound(np.linspace(0, 1, ROWS), np.zeros(ROWS), 10)
    assert 1 <= found < 2  # the tail goes on beyond the rows


def test_nothing_is_wrong_where_nothing_is_disturbed() -> None:
    assert mixed_bound(np.zeros(ROWS), np.zeros(ROWS), 10) == 0


def test_a_few_disturbed_inputs_count() -> None:
    """Fewer than the tenth that a tail is fitted to: then the rows count as they are."""
    sigmas = np.where(np.arange(ROWS) < 20, 1.0, 0.0)
    found = mixed_bound(np.zeros(ROWS), sigmas, 1)
    assert found == pytest.approx(norm.isf(MADE_FOR * EXCEEDING / 2 * ROWS / 20), rel=1e-6)


def test_it_grows_with_outputs_and_with_errors() -> None:
    rng = np.random.default_rng(0)
    sigmas = np.exp(0.3 * rng.normal(size=ROWS))
    bounds = [mixed_bound(wrong * sigmas, size * sigmas, outputs) for wrong, size, outputs in
              ((0.0, 1.0, 1), (0.0, 1.0, 10), (0.5, 1.0, 10), (0.5, 2.0, 10))]  # fmt: skip
    assert bounds == sorted(bounds) and len(set(bounds)) == 4
