"""The noise of a release: an exact discrete Gaussian from the coins of the operating system."""

import secrets
from fractions import Fraction
from math import ceil, exp, floor, log2
from random import Random

import numpy as np
import pytest
from scipy import stats

import secure.parties.release as releasing
from compress.errors import ConfigError
from secure.parties import discrete_gaussian as sampling
from secure.parties.discrete_gaussian import discrete_gaussian, discrete_laplace, exponential_coin
from secure.parties.flooding import noise_ratio
from secure.parties.release import release, release_cost

SAMPLES = 20_000
#: A correct sampler falls below this once in ten million draws.
LEAST_P = 1e-7


def expected_counts(weight, reach):
    """Counts of whole numbers by weight; those from `reach` on are one cell on each side."""
    places = np.arange(-40 * reach, 40 * reach + 1)
    shares = np.array([weight(int(place)) for place in places])
    cells = np.clip(places, -reach, reach) + reach
    return np.bincount(cells, weights=shares / shares.sum()) * SAMPLES


def chi_square(found, weight, reach):
    """The p-value of the counts of samples against weights."""
    counts = np.bincount(np.clip(found, -reach, reach) + reach, minlength=2 * reach + 1)
    return stats.chisquare(counts, expected_counts(weight, reach)).pvalue


def gaussian(deviation):
    return lambda x: exp(-(x**2) / (2 * deviation**2))


@pytest.mark.parametrize("deviation", [1, 2, 5])
def test_samples_have_the_exact_distribution(deviation):
    found = [discrete_gaussian(deviation) for _ in range(SAMPLES)]
    assert chi_square(found, gaussian(deviation), 3 * deviation) > LEAST_P
    # The test tells a deviation that is 6 % off. Whether it tells it of these samples would be left to chance.
    counts, wrong = (expected_counts(gaussian(own * deviation), 3 * deviation) for own in (1, 1.06))
    assert stats.chisquare(counts, wrong).pvalue < LEAST_P


def test_laplace_samples_and_coins_have_the_exact_distribution():
    found = [discrete_laplace(3) for _ in range(SAMPLES)]
    assert chi_square(found, lambda x: exp(-abs(x) / 3), 9) > LEAST_P
    for numerator, denominator in ((0, 7), (1, 3), (1, 1), (5, 2)):
        heads = sum(exponential_coin(numerator, denominator) for _ in range(SAMPLES))
        assert stats.binomtest(heads, SAMPLES, exp(-numerator / denominator)).pvalue > LEAST_P


def test_wide_samples_are_gaussian_and_every_whole_number_can_come_out():
    deviation = 19 << 20
    found = np.array([discrete_gaussian(deviation) for _ in range(SAMPLES)], dtype=float)
    assert stats.kstest(found / deviation, "norm").pvalue > LEAST_P
    assert {int(value) % 4 for value in found} == {0, 1, 2, 3}


def test_all_coins_are_those_of_the_operating_system(monkeypatch):
    assert sampling.randbelow is secrets.randbelow
    runs = []
    for _ in range(2):  # with other coins, the same ones give the same samples: there is no further source
        monkeypatch.setattr(sampling, "randbelow", Random(5).randrange)
        runs.append([discrete_gaussian(1 << 24) for _ in range(50)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 50


@pytest.mark.parametrize("error", [1e-300, 0.75, 1.0, 2.7, 1e300])
def test_an_answer_is_moved_by_the_sample_in_units_and_rounded_to_the_step(monkeypatch, error):
    """The unit is at most 2^-20 of the error, and the deviation carries the unit that rounding may add."""
    asked = []
    monkeypatch.setattr(releasing, "discrete_gaussian", lambda deviation: asked.append(deviation) or deviation)
    cost = release_cost(error, 2)
    (first, second) = release([0.0, 40 * cost.noise_std], error)
    assert (first / cost.step, second / cost.step) == pytest.approx((8, 328), abs=1e-6)
    unit = Fraction(2) ** (floor(log2(error)) - 20)
    assert set(asked) == {ceil(Fraction(noise_ratio(2, 10, lost_bits=10)) * (Fraction(error) / unit + 1))}


def test_an_answer_that_is_not_finite_is_refused():
    for wrong in ([np.nan, 1.0], [np.inf]):
        with pytest.raises(ConfigError, match="values: got 'an array of shape .*; allowed: finite numbers"):
            release(wrong, 1.0)
