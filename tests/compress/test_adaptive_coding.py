"""The adaptive code: decoding gives the codes back, the counted length is exact, and it learns pruned structure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.account.adaptive_coding import decisions_bits, decode, encode, significance, string_bits
from compress.account.entropy import best_rice


def random_codes(seed, shape, density, levels):
    random = np.random.default_rng(seed)
    magnitudes = np.minimum(1 + random.geometric(0.6, shape) - 1, levels)
    codes = np.where(random.random(shape) < density, magnitudes * random.choice([-1, 1], shape), 0)
    return codes.astype(np.int32)


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 30),
    columns=st.integers(1, 40),
    density=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    levels=st.sampled_from([1, 3, 7, 127]),
)
@settings(deadline=None, max_examples=60)
def test_codes_are_decoded_from_a_string_of_the_counted_length(seed, rows, columns, density, levels):
    codes = random_codes(seed, (rows, columns), density, levels)
    string = encode(codes, levels)
    for following in (b"", b"\xff\xff\xff\xff\xff\xff\xff"):
        assert (decode(string + following, codes.shape, levels) == codes).all()
    assert 0 <= sum(string_bits(codes, levels)) - 8 * len(string) <= 16


def test_a_long_string_has_the_counted_length():
    codes = random_codes(1, (120, 400), 0.05, 7)
    string = encode(codes, 7)
    assert (decode(string, codes.shape, 7) == codes).all()
    assert 0 <= sum(string_bits(codes, 7)) - 8 * len(string) <= 16


def test_the_first_probabilities_by_hand():
    """Before any symbol the probability is one half.

    After one non-zero in the row the layer has 3/4, the row (1 + 12 * 3/4) / 13 and the column 3/4, so the odds are
    (10/13 / (3/13)) * 3 / 3.
    """
    found = significance(np.array([[True, False]]))
    assert found[0, 0] == 2**15
    assert found[0, 1] == pytest.approx(2**16 * 10 / 13, abs=1)


def test_learned_decisions_by_hand():
    """The probabilities are 1/2, 3/4, then 5/6, and the last decision is the unlikely one."""
    expected = -np.log2(1 / 2) - np.log2(3 / 4) - np.log2(1 / 6)
    assert decisions_bits(np.array([True, True, False])) == pytest.approx(expected, abs=1e-3)


def test_emptied_inputs_and_outputs_cost_less_than_their_gaps():
    random = np.random.default_rng(0)
    nonzero = random.random((100, 300)) < 0.2
    nonzero[random.random(100) < 0.6] = False
    nonzero[:, random.random(300) < 0.6] = False
    positions, _ = string_bits(nonzero.astype(np.int32), 1)
    gaps = np.diff(np.flatnonzero(nonzero), prepend=-1)
    assert positions < 0.8 * best_rice(gaps)[1]
