"""Layer normalization in integers: an example by hand, the distance from the real one, equal to the simulation."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compress.errors import CompressError
from compress.joint.fixed_point import Grid
from compress.joint.norm import NormCodes, float_norm, integer_norm, simulated_norm


def norm(width, *, bits=8, fraction_bits=0, gain=64, gain_bits=6, shift=8, shift_bits=4, epsilon=0.0, output=None):
    return NormCodes(
        "n", width, Grid(fraction_bits, bits, True), np.full(width, gain), gain_bits, np.full(width, shift), shift_bits,
        epsilon, Grid(5, bits, True) if output is None else output,
    )  # fmt: skip


def test_a_row_by_hand():
    """[1, 2, 3, 6] has sum 12 and is [-8, -4, 0, 12] fourths centred; V = 4 * 50 - 144 = 56, R = root(56 * 4^6) = 479.

    c 2^6 / R + 1/2 = [-0.5689, -0.0344, 0.5, 2.1034]; times 32: [-18.2, -1.1, 16, 67.3].
    """
    assert integer_norm(np.array([[1, 2, 3, 6]]), norm(4)).tolist() == [[-18, -1, 16, 67]]
    # gain -1/2, no shift, four fraction bits: [8.55, 4.28, 0, -12.83]
    half = norm(4, gain=-8, gain_bits=4, shift=0, output=Grid(4, 8, True))
    assert integer_norm(np.array([[1, 2, 3, 6]]), half).tolist() == [[9, 4, 0, -13]]


def test_equal_entries_are_the_shift_and_epsilon_quiets_small_rows():
    assert integer_norm(np.full((1, 8), -3), norm(8)).tolist() == [[16] * 8]
    row = np.array([[0, 0, 0, 1]])
    loud, quiet = (integer_norm(row, norm(4, shift=0, epsilon=epsilon)) for epsilon in (0.0, 100.0))
    assert loud.tolist() == [[-18, -18, -18, 55]] and quiet.tolist() == [[-1, -1, -1, 2]]


parameters = st.tuples(
    st.integers(1, 70), st.integers(3, 9), st.integers(-3, 9), st.integers(1, 8), st.integers(1, 8), st.integers(0, 9)
)


@settings(max_examples=200, deadline=None)
@given(parameters, st.integers(0, 2**16), st.sampled_from([0.0, 1e-5, 1e-2]))
def test_integers_equal_the_simulation(sizes, seed, epsilon):
    width, bits, fraction_bits, gain_bits, shift_bits, output_bits = sizes
    rng = np.random.default_rng(seed)
    grid, output = Grid(fraction_bits, bits, True), Grid(output_bits, bits, True)
    codes = rng.integers(grid.low, grid.high + 1, (30, width)) >> rng.integers(0, bits, (30, 1))
    gain, shift = rng.integers(grid.low, grid.high + 1, (2, width))
    found = NormCodes("n", width, grid, gain, gain_bits, shift, shift_bits, epsilon, output)
    assume(found.fits)
    integers = integer_norm(codes, found)
    assert np.array_equal(output.values(integers), simulated_norm(grid.values(codes), found))


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 128), st.integers(5, 10), st.integers(0, 2**16))
def test_the_distance_from_the_real_normalization_is_bounded(width, bits, seed):
    """The bound is half a step of the output plus half a unit of the root, a share 1/(2 R) of the dividend."""
    rng = np.random.default_rng(seed)
    grid = Grid(4, bits, True)
    codes = np.clip(rng.normal(0, 2.0 ** rng.uniform(0, bits - 2, (50, 1)), (50, width)), grid.low, grid.high).astype(
        int
    )
    gain, shift = rng.integers(grid.low, grid.high + 1, (2, width))
    output = Grid(2, bits + 8, True)
    found = NormCodes("n", width, grid, gain, bits - 2, shift, bits - 2, 1e-5, output)
    wanted = float_norm(grid.values(codes), gain / 2.0 ** (bits - 2), shift / 2.0 ** (bits - 2), 1e-5)
    deviation = np.sqrt(codes.var(axis=1, keepdims=True) + 1e-5 * 4.0**4) * width * 2.0**found.root_bits
    share = np.abs(wanted - shift / 2.0 ** (bits - 2)) * 0.51 / np.maximum(deviation - 1, 0.5)
    assert (np.abs(output.values(integer_norm(codes, found)) - wanted) <= 2.0**-3 + share).all()


def test_the_zoos_width_fits_32_bits_even_in_its_variance():
    found = norm(64)
    assert found.fits and found.largest_radicand < 2**31 and found.root_bits == 2
    assert 362**2 * 128**2 < 2**31 < 363**2 * 128**2  # from width 363 on the variance alone needs more bits


def test_a_wide_row_keeps_its_variance_whole():
    """Width 768 at 8 bits: K times the sum of squares is 2^33, which would overflow 32 bits."""
    codes = np.where(np.arange(768) % 2 == 0, 127, -128)[None, :]
    found = norm(768, shift=0)
    assert found.fits
    assert integer_norm(codes, found).tolist() == [[32, -32] * 384]


def test_what_leaves_32_bits_is_refused_by_name():
    wide = norm(4, gain=127, gain_bits=-14)
    assert not wide.fits
    with pytest.raises(CompressError, match="layer 'n': its sums may reach .* more than 32 bits hold"):
        wide.check()
    fine = dataclasses.replace(norm(4, gain=1, gain_bits=14), input=Grid(18, 8, True), epsilon=10.0)
    assert not fine.fits
    with pytest.raises(CompressError, match="layer 'n': its (variance may reach .* more than 46 bits|sums may)"):
        fine.check()
