"""Closed forms for Laplace weights, against vectors by hand, sampling and numeric derivatives."""

import numpy as np
import pytest

from compress.opq.laplace import clip_ratio, fit_quality, laplace_scale

TIGHT = {"rel": 1e-8}


def test_scale_is_the_mean_magnitude():
    assert laplace_scale(np.array([0.1, -0.2, 0.3, -0.4])) == pytest.approx(0.25)
    assert laplace_scale(np.zeros(0)) == 0.0


@pytest.mark.parametrize(
    ("bits", "ratio"), [(2, 2.8307), (3, 3.8972), (4, 5.0286), (5, 6.2048), (6, 7.4131), (8, 9.8968)]
)
def test_clipping_of_unpruned_layers_is_aciqs(bits, ratio):
    assert clip_ratio(bits) == pytest.approx(ratio, abs=5e-5)


@pytest.mark.parametrize(("bits", "ratio"), [(2, 4.6392), (3, 5.8019), (4, 7.0004), (5, 8.2254), (8, 12.0061)])
def test_clipping_of_survivors_lies_further_out(bits, ratio):
    assert clip_ratio(bits, 0.9) == pytest.approx(ratio, abs=5e-5)


@pytest.mark.parametrize(("bits", "rate"), [(3, 0.0), (4, 0.0), (4, 0.9), (6, 0.5)])
def test_no_other_clipping_value_has_a_smaller_error(bits, rate):
    """For b = 1 the survivors' error is clip^2 / (3 * 4^B) from rounding plus 2 exp(-clip) / (1 - p) from clipping."""

    def error(clip):
        return clip**2 / (3 * 4.0**bits) + 2 * np.exp(-clip) / (1 - rate)

    best = clip_ratio(bits, rate)
    assert all(error(best) < error(factor * best) for factor in (0.9, 0.99, 1.01, 1.1))


def test_clipping_ratios_to_ten_digits():
    assert clip_ratio(4) == pytest.approx(5.0286401362, **TIGHT)
    assert clip_ratio(4, 0.9) == pytest.approx(7.0004065939, **TIGHT)


def test_fit_quality_tells_laplace_from_others():
    random = np.random.default_rng(0)
    assert fit_quality(random.laplace(size=20_000)) < 0.02
    assert fit_quality(random.uniform(-1, 1, size=20_000)) > 0.1
    assert fit_quality(np.zeros(5)) == 1.0


def test_fit_quality_is_the_distance_of_kolmogorov_and_smirnov():
    magnitudes = np.array([0.5, 0.6, 0.9, 2.0])  # mean 1
    below, above = 1 - np.exp(-0.5), 1 - (1 - np.exp(-2.0))
    assert fit_quality(-magnitudes) == pytest.approx(max(below, 0.75 - (1 - np.exp(-0.9)), above), rel=1e-12)
    assert below > 0.39 > 0.25  # the largest distance is on the lower side of the first step
