"""Softmax in integers: examples by hand, the distance from the real one, equal to the simulation bit for bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import CompressError
from compress.joint.fixed_point import Grid
from compress.joint.softmax import (
    ENTRY_BITS,
    INDEX_BITS,
    LAST_SHIFT,
    MOST_ENTRIES,
    MOST_OUTPUT_BITS,
    TABLE,
    error_bound,
    exponent,
    float_softmax,
    integer_softmax,
    simulated_softmax,
    softmax_grid,
)

EIGHT = Grid(8, 8, False)


def test_powers_of_two_by_hand():
    """With a scale of ln 2 the powers are 1, 1/2, 1/4 of 2^15: 146.29, 73.14 and 36.57 256ths of 57344."""
    rule = exponent("s", math.log(2))
    assert integer_softmax(np.array([[0, -1, -2]]), 0, rule, EIGHT).tolist() == [[146, 73, 37]]
    # with one fraction bit the same codes are half as far apart: exponents 0, 1/2, 1; 2^15 / sqrt(2) is 23170
    assert TABLE[128] == 23170
    total = 32768 + 23170 + 16384
    wanted = [math.floor(256 * part / total + 0.5) for part in (32768, 23170, 16384)]
    assert integer_softmax(np.array([[0, -1, -2]]), 1, rule, EIGHT).tolist() == [wanted] == [[116, 82, 58]]


def test_a_uniform_row_and_a_certain_entry_by_hand():
    rule = exponent("s", 1.0)
    assert integer_softmax(np.array([[7, 7, 7, 7]]), 3, rule, EIGHT).tolist() == [[64, 64, 64, 64]]
    # one certain entry: 256 does not fit 8 bits and is clipped; 128 fits on a grid of 7 fraction bits
    far = np.array([[0, -(2**29)]])
    assert integer_softmax(far, 0, rule, EIGHT).tolist() == [[255, 0]]
    assert integer_softmax(far, 0, rule, Grid(7, 8, False)).tolist() == [[128, 0]]


scores = st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(scores, st.integers(-2, 22), st.floats(1e-3, 30.0), st.integers(3, 12))
def test_integers_equal_the_simulation(row, fraction_bits, scale, bits):
    codes, rule = np.array([row]), exponent("s", scale)
    for grid in (softmax_grid(bits - 1, bits), softmax_grid(bits + 3, bits)):
        found = integer_softmax(codes, fraction_bits, rule, grid)
        simulated = simulated_softmax(np.ldexp(codes.astype(float), -fraction_bits), rule, grid)
        assert np.array_equal(grid.values(found), simulated)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=1, max_size=64), st.floats(0.01, 4.0), st.integers(4, 12))
def test_the_distance_from_the_real_softmax_is_bounded(row, scale, bits):
    grid = Grid(bits - 1, bits, False)  # holds 1: nothing is clipped
    real = np.array([row])
    codes = np.floor(real * 2**12 + 0.5).astype(np.int64)
    found = grid.values(integer_softmax(codes, 12, exponent("s", scale), grid))
    wanted = float_softmax(np.ldexp(codes.astype(float), -12), scale)
    assert np.abs(found - wanted).max() <= error_bound(len(row), grid)


def test_the_bound_excludes_a_coarser_rule():
    """The bound fails without the half in the division, and with a table of 16 entries."""
    rng = np.random.default_rng(0)
    codes, grid, rule = rng.integers(-4096, 4096, (2000, 4)), Grid(11, 12, False), exponent("s", 1.0)
    wanted = float_softmax(codes / 2**10, 1.0)
    assert np.abs(grid.values(integer_softmax(codes, 10, rule, grid)) - wanted).max() <= error_bound(4, grid)
    powers = np.exp2(-np.floor(np.log2(np.e) * (codes.max(1, keepdims=True) - codes) / 2**10 * 16 + 0.5) / 16)
    assert np.abs(powers / powers.sum(1, keepdims=True) - wanted).max() > error_bound(4, grid)


@given(scores, st.integers(-1000, 1000))
def test_adding_to_a_row_changes_nothing(row, more):
    codes, rule = np.array([row]), exponent("s", 0.25)
    assert np.array_equal(
        integer_softmax(codes, 10, rule, EIGHT),
        integer_softmax(codes + more, 10, rule, EIGHT),
    )


@given(st.floats(1e-6, 1e6))
def test_every_number_fits_32_bits(scale):
    rule = exponent("s", scale)
    assert rule.largest * rule.multiplier < 2**30
    assert (rule.largest * rule.multiplier) >> 17 >= LAST_SHIFT * 2**INDEX_BITS - 2  # and reaches the end of the table
    assert MOST_ENTRIES * int(TABLE.max()) <= 2**30
    assert (2 << (ENTRY_BITS + MOST_OUTPUT_BITS)) + 2**30 < 2**31


def test_output_grids_stay_within_the_division():
    assert softmax_grid(20, 8) == Grid(13, 8, False)
    assert softmax_grid(-1, 2) == Grid(0, 2, False)


@pytest.mark.parametrize("scale", [0.0, -0.5, float("inf"), float("nan")])
def test_a_scale_that_turns_the_order_is_refused(scale):
    with pytest.raises(CompressError, match="layer 's': scales its scores by .*; softmax in integers takes a positive"):
        exponent("s", scale)
