"""Fixed-point numbers: examples worked out by hand, and the laws of shifts."""

from math import isqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import CompressError
from compress.joint.fixed_point import (
    Grid,
    aligned_sum,
    best_grid,
    check_accumulator,
    integer_root,
    requantized,
    rounded_division,
    shift,
    unclipped_fraction_bits,
)


@pytest.mark.parametrize(
    ("fraction_bits", "signed", "values", "codes"),
    [
        (6, True, [0.7, -0.3, 1, -1, 2.5], [45, -19, 64, -64, 127]),
        (7, True, [0.7, -0.3, 1, 2.5], [90, -38, 127, 127]),
        (-1, True, [0.7, -0.3, 1, 2.5], [0, 0, 1, 1]),
        (6, False, [0.7, -0.3, 1, 5], [45, 0, 64, 255]),
        (0, True, [0.5, 1.5, 2.5, -0.5, -1.5, -2.5], [1, 2, 3, 0, -1, -2]),
    ],
)
def test_codes_by_hand(fraction_bits, signed, values, codes):
    assert Grid(fraction_bits, 8, signed).codes(np.array(values, dtype=float)).tolist() == codes


def test_shifts_round_half_up_also_for_negatives():
    assert shift(np.array([5, 6, 7, -5, -6, -7, 8, -8]), 2).tolist() == [1, 2, 2, -1, -1, -2, 2, -2]
    assert shift(np.array([3, -3]), -2).tolist() == [12, -12]


def test_clipping_a_few_outliers_may_be_better():
    few = np.array([0.1, 0.2, 0.3, 0.4, 3.9])
    assert unclipped_fraction_bits(few, 4, True) == 0
    assert best_grid(few, 4, True).fraction_bits == 1
    many = np.append(np.full(99, 0.11), 1.9)
    assert unclipped_fraction_bits(many, 4, True) == 1
    errors = [float(np.sum((many - Grid(n, 4, True).rounded(many)) ** 2)) for n in (1, 2, 3)]
    np.testing.assert_allclose(errors, [1.2079, 1.2204, 1.0729], atol=1e-9)  # not unimodal
    assert best_grid(many, 4, True).fraction_bits == 3


def test_a_residual_on_a_finer_grid_is_added_before_the_only_rounding():
    total = aligned_sum([(np.array([-36]), 6), (np.array([9]), 4)], 6)
    assert requantized(np.maximum(total, 0), 6, Grid(3, 8, False)).tolist() == [0]  # requantizing first would give 1
    total = aligned_sum([(np.array([1100]), 3), (np.array([-90]), 0)], 3)
    assert requantized(total, 3, Grid(0, 8, True)).tolist() == [48]  # requantizing first clips: 37


def test_rounding_once_is_not_rounding_twice():
    seven = np.array([7])
    assert shift(seven, 4).tolist() == [0]
    assert shift(shift(seven, 3), 1).tolist() == [1]


@given(st.integers(-(2**40), 2**40), st.integers(1, 20), st.integers(-1000, 1000))
def test_laws_of_shifts(value, bits, whole):
    a = np.array([value])
    assert shift(a, bits)[0] == np.floor(value / 2**bits + 0.5)
    assert shift(a + whole * 2**bits, bits)[0] == shift(a, bits)[0] + whole
    assert shift(np.maximum(a, 0), bits)[0] == max(shift(a, bits)[0], 0)


def test_divisions_round_half_up_also_for_negatives():
    assert rounded_division(np.array([5, 7, -5, -7, 6, -6]), np.array([2, 2, 2, 2, 4, 4])).tolist() == [
        3,
        4,
        -2,
        -3,
        2,
        -1,
    ]


def test_roots_by_hand():
    """The nearest whole number: 2.449 gives 2, 2.645 gives 3; the limit lies between k^2 + k and k^2 + k + 1."""
    assert integer_root(np.array([0, 1, 2, 3, 6, 7, 12, 13])).tolist() == [0, 1, 1, 2, 2, 3, 3, 4]


@given(st.lists(st.integers(0, 2**60), min_size=1, max_size=8))
def test_roots_are_the_whole_numbers_next_to_them(values):
    wanted = [isqrt(value) + (value - isqrt(value) ** 2 > isqrt(value)) for value in values]
    assert integer_root(np.array(values)).tolist() == wanted


def test_zeros_need_no_fraction_bits():
    assert best_grid(np.zeros(3), 8, True).fraction_bits == 0


def test_sums_beyond_32_bits_are_refused():
    with pytest.raises(CompressError, match="layer 'fc': its sums may reach 2147483648, more than 32 bits hold"):
        check_accumulator("fc", 2**31)
