"""Element-wise functions as tables: entries by hand, exact results, and the search's shortcut over counts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from compress.joint.code_table import arguments, code_table, table_errors
from compress.joint.fixed_point import Grid


def gelu(x):
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def test_a_table_by_hand():
    """Three bits, one of them fraction: arguments are -2 to 1.5, entries are GELU there in fourths, rounded half up."""
    table = code_table(gelu, Grid(1, 3, True), Grid(2, 4, True))
    assert arguments(table.index).tolist() == [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]
    # -0.0455, -0.1002, -0.1587, -0.1543, 0, 0.3457, 0.8413, 1.3998
    assert table.codes.tolist() == [0, 0, -1, -1, 0, 1, 3, 6]
    # sums with three fraction bits: -17/8 is clipped to -2, 3/8 is rounded up to 1/2, 100/8 is clipped to 1.5
    assert table.looked_up(np.array([-17, 3, 100]), 3).tolist() == [0, 1, 6]
    assert table.rounded(np.array([-17, 3, 100]) / 8).tolist() == [0.0, 0.25, 1.5]


def test_every_entry_of_an_8_bit_gelu_is_the_function_to_half_a_step():
    module, index, output = torch.nn.GELU(), Grid(5, 8, True), Grid(5, 8, True)
    table = code_table(lambda x: module(torch.from_numpy(x)).numpy(), index, output)
    assert len(table.codes) == 256
    assert np.abs(output.values(table.codes) - gelu(arguments(index))).max() <= 2.0**-6


@given(st.lists(st.integers(-(2**20), 2**20), min_size=1), st.integers(0, 12), st.integers(-1, 8))
def test_integers_equal_the_simulation(sums, fraction_bits, index_bits):
    table = code_table(gelu, Grid(index_bits, 8, True), Grid(5, 8, True))
    codes = np.array(sums)
    real = np.ldexp(codes.astype(float), -fraction_bits)
    assert np.array_equal(table.output.values(table.looked_up(codes, fraction_bits)), table.rounded(real))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 8), st.integers(0, 6))
def test_counted_errors_are_those_of_the_elements(seed, bits, fraction_bits):
    rng = np.random.default_rng(seed)
    argument, wanted = rng.normal(0, 2, (2, 5, 40))
    index = Grid(fraction_bits, bits, True)
    outputs = tuple(Grid(n, bits, True) for n in range(4))
    brute = [np.sum((code_table(gelu, index, output).rounded(argument) - wanted) ** 2) for output in outputs]
    assert table_errors(gelu, index, outputs, argument, wanted) == pytest.approx(brute)
