"""Upper limits from few numbers, against distributions whose limits are known."""

import numpy as np
import pytest
from scipy.stats import beta

from secure.bounds.tail import CONFIDENCE, EXCEEDING, LONE_MARGIN, upper_mean, upper_tail


@pytest.mark.parametrize(
    ("exponent", "count"), [(0.1, 100), (0.1, 400), (0.3, 400), (0.1, 1000), (0.3, 1000), (1.0, 1000)]
)
def test_the_tail_of_a_power_law_is_reached_and_not_far_exceeded(exponent, count):
    """Exponents beyond the usual one need many values."""
    rng = np.random.default_rng(0)
    truth = EXCEEDING**-exponent
    found = [upper_tail(rng.random(count) ** -exponent) for _ in range(200)]
    assert np.mean([EXCEEDING * (truth / one) ** (1 / exponent) for one in found]) < 4 * EXCEEDING
    assert 0.6 < np.median(found) / truth < 2


@pytest.mark.parametrize("count", [60, 300, 1000])
def test_light_tails_are_overestimated_by_less_than_a_factor_of_three(count):
    rng = np.random.default_rng(1)
    found = [upper_tail(np.abs(rng.normal(size=(6, count))).max(axis=0)) for _ in range(100)]
    truth = 4.2  # |x| of six normal numbers exceeds it in one of 6,200, and 4.35 in one of 12,000
    assert min(found) > 0.75 * truth and np.median(found) < 3 * truth
    assert np.mean(np.array(found) > truth) > 0.8


def test_the_tail_is_never_below_the_largest_value_and_few_values_get_a_margin():
    assert upper_tail(np.append(np.linspace(0.9, 1, 99), 1e6)) == 1e6
    assert 1 < upper_tail(np.ones(1000)) < upper_tail(np.ones(50)) < 2.5
    assert upper_tail(np.array([2.0])) == upper_tail(np.array([2.0, 1.0])) == 2 * LONE_MARGIN
    assert upper_tail(np.append(np.zeros(90), np.ones(5))) == 1.0


@pytest.mark.parametrize("count", [1, 60, 360, 10_000])
def test_without_any_event_the_limit_of_a_mean_is_that_of_counts(count):
    assert upper_mean(np.zeros(count)) == pytest.approx(1 - (1 - CONFIDENCE) ** (1 / count), rel=1e-9)


@pytest.mark.parametrize(("events", "count"), [(1, 60), (10, 360), (30, 60)])
def test_the_limit_of_a_mean_lies_a_little_above_that_of_counts(events, count):
    exact = beta.ppf(CONFIDENCE, events + 1, count - events)
    found = upper_mean(np.arange(count) < events)
    assert exact < found < 1.4 * exact


def test_the_limit_of_a_mean_holds_as_often_as_it_says():
    rng = np.random.default_rng(2)
    draws = np.where(rng.random((2000, 80)) < 0.03, rng.random((2000, 80)), 0.0)
    assert np.mean([upper_mean(draw) >= 0.015 for draw in draws]) > CONFIDENCE
    assert upper_mean(np.ones(5)) == 1.0
