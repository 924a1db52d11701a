"""Rates and bits per layer, against vectors worked out by hand and against exhaustive search."""

from itertools import product
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import BudgetError, ConfigError
from compress.opq.allocation import allocate_bits, allocate_rates
from compress.opq.laplace import laplace_scale
from compress.opq.options import Objective

THREE = ([1.0, 2.0, 4.0], [100, 200, 700])


def pruning_threshold(rate, b):
    """The magnitude below which a share `rate` of the Laplace weights of scale b lies."""
    return -b * np.log1p(-rate)


def test_raw_rates_have_one_threshold_for_all_layers():
    rates = allocate_rates([1, 2], [5, 5], 0.5, caps=[1, 1])
    assert rates == pytest.approx([0.6180339887, 0.3819660113], abs=1e-9)
    assert pruning_threshold(rates[0], 1) == pytest.approx(0.9624236501, abs=1e-8)
    assert pruning_threshold(rates[1], 2) == pytest.approx(0.9624236501, abs=1e-8)


@given(
    scales=st.lists(st.floats(0.01, 10), min_size=3, max_size=3),
    sizes=st.lists(st.integers(20, 1000), min_size=3, max_size=3),
)
def test_relative_rates_are_uniform(scales, sizes):
    assert allocate_rates(scales, sizes, 0.9, weighting="relative") == pytest.approx([0.9] * 3, abs=1e-9)


@pytest.mark.parametrize(
    ("weighting", "rates"),
    [
        ("raw", [0.99964347, 0.98111811, 0.86258861]),
        ("relative_layer", [0.69137408, 0.81035195, 0.95541743]),
        ("mean", [0.96416809, 0.90500199, 0.88940399]),
    ],
)
def test_rates_of_every_weighting_by_hand(weighting, rates):
    found = allocate_rates(*THREE, 0.9, weighting=weighting, caps=[1, 1, 1])
    assert found == pytest.approx(rates, abs=1e-8)
    assert np.dot(found, THREE[1]) == pytest.approx(900)


def test_sparsity_above_a_cap_goes_to_other_layers():
    rates = allocate_rates(*THREE, 0.9, caps=[0.95] * 3)
    assert rates == pytest.approx([0.95, 0.95, 615 / 700], abs=1e-9)
    assert pruning_threshold(rates[2], 4) == pytest.approx(8.4337163142, abs=1e-7)


def test_a_sparsity_above_all_caps_is_refused():
    with pytest.raises(BudgetError, match=r"sparsity: 0\.96 asked, the layers' caps allow 0\.9500; ask for less"):
        allocate_rates([1, 2], [1, 1], 0.96, caps=[0.95, 0.95])


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan")])
def test_a_sparsity_out_of_range_is_refused(sparsity):
    with pytest.raises(ConfigError, match=r"sparsity: got .*; allowed: a share in \[0, 1\)"):
        allocate_rates([1], [10], sparsity)


def test_an_unknown_weighting_is_refused():
    with pytest.raises(
        ConfigError, match="weighting: got 'paper'; allowed: one of raw, relative, relative_layer, mean"
    ):
        allocate_rates([1], [10], 0.5, weighting="paper")


def test_a_layer_of_zeros_is_pruned_first_without_a_division_by_zero():
    assert allocate_rates([0.0, 1.0], [10, 10], 0.5) == pytest.approx([0.9, 0.1], abs=1e-9)


def test_rates_of_laplace_samples_approach_global_magnitude_pruning():
    random = np.random.default_rng(0)
    samples = [random.laplace(scale=b, size=200_000) for b in (1, 3)]
    rates = allocate_rates([laplace_scale(w) for w in samples], [200_000] * 2, 0.8)
    threshold = np.quantile(np.abs(np.concatenate(samples)), 0.8)
    assert rates == pytest.approx([np.mean(np.abs(w) <= threshold) for w in samples], abs=0.003)
    assert rates == pytest.approx([0.95504, 0.64496], abs=0.003)


layers = st.lists(st.tuples(st.floats(0.01, 10), st.integers(5, 500)), min_size=2, max_size=5)


@given(layers=layers, sparsity=st.floats(0.05, 0.75), factor=st.floats(0.01, 100))
@settings(deadline=None)
def test_rates_order_scale_and_monotonicity(layers, sparsity, factor):
    scales, sizes = zip(*layers, strict=True)
    rates = allocate_rates(scales, sizes, sparsity)
    assert np.dot(rates, sizes) == pytest.approx(sparsity * sum(sizes))
    assert allocate_rates(scales[::-1], sizes[::-1], sparsity)[::-1] == pytest.approx(rates, abs=1e-9)
    assert allocate_rates([b * factor for b in scales], sizes, sparsity) == pytest.approx(rates, abs=1e-9)
    more = allocate_rates(scales, sizes, sparsity + 0.04)
    assert all(after >= before - 1e-12 for before, after in zip(rates, more, strict=True))


@pytest.mark.parametrize(
    ("ranges", "counts", "mean_bits", "bits"),
    [
        ([1, 2, 4], [10, 10, 10], 4, [3, 4, 5]),
        ([1, 2, 4], [100, 200, 700], 4, [4, 4, 4]),
        ([0.5, 1, 3], [10, 20, 30], 3, [2, 2, 4]),
        ([1, 1, 1], [100, 200, 700], 3.3, [4, 4, 3]),
    ],
)
def test_whole_bits_by_hand(ranges, counts, mean_bits, bits):
    assert allocate_bits(ranges, counts, mean_bits) == bits


def test_bits_with_one_layer_of_nearly_all_weights_use_the_whole_budget():
    assert allocate_bits([0.33, 0.083, 0.18], [36, 2116, 100], 4) == [4, 4, 4]


@given(
    layers=st.lists(st.tuples(st.floats(0.05, 5), st.integers(1, 60)), min_size=2, max_size=4),
    mean_bits=st.floats(2, 8.5),
    objective=st.sampled_from(get_args(Objective)),
)
@settings(deadline=None, max_examples=150)
def test_whole_bits_equal_exhaustive_search(layers, mean_bits, objective):
    ranges, counts = zip(*layers, strict=True)
    costs = counts if objective == "storage" else [1] * len(counts)
    budget = mean_bits * sum(costs) + 1e-9

    def error(bits):
        return sum(n * r**2 * 4.0**-b for n, r, b in zip(counts, ranges, bits, strict=True))

    found = allocate_bits(ranges, counts, mean_bits, objective=objective)
    assert np.dot(found, costs) <= budget and all(2 <= b <= 8 for b in found)
    fitting = [bits for bits in product(range(2, 9), repeat=len(layers)) if np.dot(bits, costs) <= budget]
    assert error(found) <= min(map(error, fitting)) * (1 + 1e-9)


def test_a_bit_of_scale_costs_every_layer_the_same():
    # 64 times as many weights are worth three bits: water-filling gives 4 +- 1.5 bits, which become whole ones
    assert allocate_bits([1, 1], [64, 1], 4, objective="encrypted") == [5, 3]
    assert allocate_bits([1, 1], [64, 1], 4, objective="storage") == [4, 4]


def test_an_unknown_objective_is_refused():
    with pytest.raises(ConfigError, match="objective: got 'levels'; allowed: one of storage, encrypted"):
        allocate_bits([1], [10], 4, objective="levels")


def test_bits_below_what_a_layer_needs_are_refused():
    with pytest.raises(
        BudgetError, match="bits: 1.5 per weight asked, every layer needs at least 2; ask for 2 or more"
    ):
        allocate_bits([1], [10], 1.5)
    with pytest.raises(BudgetError, match="bits: 1.5 per layer asked"):
        allocate_bits([1], [10], 1.5, objective="encrypted")
    with pytest.raises(ConfigError, match="one bit with a zero level would erase a layer"):
        allocate_bits([1], [10], 4, low=1)
