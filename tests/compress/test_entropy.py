"""Code lengths, against codes written out by hand and against entropy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.account.entropy import best_rice, rice_bits


@pytest.mark.parametrize(
    ("remainder", "bits"), [(0, 1 + 3 + 17 + 19), (2, 4 * 3 + 0 + 0 + 4 + 4), (4, 4 * 5 + 0 + 0 + 1 + 1)]
)
def test_rice_codes_by_hand(remainder, bits):
    """Gaps 1, 3, 17, 19: the quotients of 0, 2, 16, 18 in unary with a stop bit, then the remainders."""
    assert rice_bits(np.array([1, 3, 17, 19]), remainder) == bits


def test_the_best_remainder_is_found_and_its_header_counted():
    gaps = np.array([1, 3, 17, 19])
    assert best_rice(gaps) == min(((r, rice_bits(gaps, r) + 4) for r in range(16)), key=lambda pair: pair[1])


@given(st.floats(0.01, 0.5), st.integers(0, 1000))
def test_rice_comes_near_the_entropy_of_random_positions(density, seed):
    nonzero = np.random.default_rng(seed).random(20_000) < density
    share = nonzero.mean()
    entropy = -20_000 * (share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert entropy * 0.97 <= best_rice(np.diff(np.flatnonzero(nonzero), prepend=-1))[1] <= 1.1 * entropy + 10
