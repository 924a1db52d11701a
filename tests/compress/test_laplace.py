"""Closed forms for Laplace weights against hand-computed vectors, sampling and numeric derivatives."""

import numpy as np
import pytest

from compress.opq.laplace import (
    clip_ratio,
    clipped_error,
    fit_quality,
    laplace_scale,
    pruning_error,
    pruning_threshold,
    survivor_code_entropy_bits,
    survivor_error,
    uniform_error,
)

TIGHT = {"rel": 1e-8}


def test_scale_is_the_mean_magnitude_and_thresholds_follow():
    b = laplace_scale(np.array([0.1, -0.2, 0.3, -0.4]))
    assert b == pytest.approx(0.25)
    assert pruning_threshold(0.5, b) == pytest.approx(0.1732867951, **TIGHT)
    assert pruning_threshold(0.9, b) == pytest.approx(0.5756462732, **TIGHT)


def test_pruning_error():
    assert pruning_error(1, 1) == pytest.approx(0.1606027941, **TIGHT)
    assert pruning_error(np.log(10), 1) == pytest.approx(0.8092931704, **TIGHT)
    assert pruning_error(0.3, 0.25) == pytest.approx(0.0150641127, rel=1e-7)


def test_one_more_pruned_weight_costs_its_threshold_squared():
    def error(p):
        return pruning_error(pruning_threshold(p, 0.7), 0.7)

    slope = (error(0.6 + 1e-6) - error(0.6 - 1e-6)) / 2e-6
    assert slope == pytest.approx(0.4113984656, rel=1e-6)


@pytest.mark.parametrize(
    ("bits", "ratio"), [(2, 2.8307), (3, 3.8972), (4, 5.0286), (5, 6.2048), (6, 7.4131), (8, 9.8968)]
)
def test_clipping_of_unpruned_layers_is_aciqs(bits, ratio):
    assert clip_ratio(bits) == pytest.approx(ratio, abs=5e-5)


@pytest.mark.parametrize(("bits", "ratio"), [(2, 4.6392), (3, 5.8019), (4, 7.0004), (5, 8.2254), (8, 12.0061)])
def test_clipping_of_survivors_lies_further_out(bits, ratio):
    assert clip_ratio(bits, 0.9) == pytest.approx(ratio, abs=5e-5)


def test_clipped_error():
    assert clip_ratio(4) == pytest.approx(5.0286401362, **TIGHT)
    assert clipped_error(4, 1) == pytest.approx(0.0460214868, **TIGHT)
    assert clip_ratio(4, 0.9) == pytest.approx(7.0004065939, **TIGHT)
    assert clipped_error(4, 1, 0.9) == pytest.approx(0.0820397209, **TIGHT)


def test_exact_quantization_errors_and_entropy():
    assert uniform_error(1, 1) == pytest.approx(0.0809652487, **TIGHT)
    assert uniform_error(2, 1) == pytest.approx(0.2981637435, **TIGHT)
    assert survivor_error(1, 1) == pytest.approx(0.0860465863, **TIGHT)
    assert survivor_code_entropy_bits(1, 1) == pytest.approx(2.5013432665, **TIGHT)
    assert survivor_code_entropy_bits(2, 1) == pytest.approx(1.6614017286, **TIGHT)


def test_fit_quality_tells_laplace_from_others():
    random = np.random.default_rng(0)
    assert fit_quality(random.laplace(size=20_000)) < 0.02
    assert fit_quality(random.uniform(-1, 1, size=20_000)) > 0.1
    assert fit_quality(np.zeros(5)) == 1.0
