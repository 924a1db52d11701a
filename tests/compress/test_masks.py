"""Masks by rank, and counts that sum to the total."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compress.opq.masks import exact_counts, rank_mask

WEIGHTS = np.array([0.3, -0.1, 0.1, 0.2, -0.2, 0.0, 0.5, -0.4])


def test_the_smallest_magnitudes_go_ties_by_index():
    assert rank_mask(WEIGHTS, 3).astype(int).tolist() == [1, 0, 0, 1, 1, 0, 1, 1]
    assert rank_mask(WEIGHTS, 4).astype(int).tolist() == [1, 0, 0, 0, 1, 0, 1, 1]


def test_nothing_pruned_keeps_zeros_too():
    assert rank_mask(WEIGHTS, 0).all()


def test_gaussian_weights_lose_exactly_what_was_asked():
    weights = np.random.default_rng(0).normal(size=(100, 100))
    assert rank_mask(weights, 9338).sum() == 662


def test_remainders_fill_the_count():
    assert exact_counts([0.6180339887, 0.3819660113], [10, 10], 10, [10, 10]) == [6, 4]


def test_capped_layers_take_no_remainder():
    assert exact_counts([0.95, 0.86], [10, 10], 19, [9, 10]) == [9, 10]


@given(
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    data=st.data(),
)
def test_counts_add_up_and_respect_caps(shares, data):
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=len(shares), max_size=len(shares)))
    caps = [data.draw(st.integers(0, size)) for size in sizes]
    floors = sum(min(int(share * size + 1e-9), cap) for share, size, cap in zip(shares, sizes, caps, strict=True))
    total = data.draw(st.integers(floors, max(floors, sum(caps))))
    counts = exact_counts(shares, sizes, total, caps)
    assert sum(counts) == total
    assert all(0 <= count <= cap for count, cap in zip(counts, caps, strict=True))


def test_a_remainder_equal_to_another_goes_to_the_earlier_layer():
    assert exact_counts([0.5, 0.5, 0.5], [3, 3, 3], 5, [3, 3, 3]) == [2, 2, 1]
    assert exact_counts([0.5, 0.5, 0.5], [3, 3, 3], 4, [3, 3, 3]) == [2, 1, 1]
