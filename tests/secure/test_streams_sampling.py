"""What is drawn from streams: residues word by word, rejected words, bits of coins, and both distributions."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from secure.draws.chacha import initial_state, keystream
from secure.draws.sampling import (
    ERROR_DOMAIN,
    LARGEST_ERROR,
    UNIFORM_DOMAIN,
    error_row,
    errors_of,
    set_nonce,
    uniform_row,
)
from tests.secure.test_encryptor import COINS, EXACT, LEAST_P, counted, merged

DEGREE = 2048
KEY = bytes(range(100, 132))
TIGHT = (1 << 41) - 86015
#: A quarter of the words of 41 bits are too large for it.
LOOSE = (3 << 39) + 1


def residues(prime, key=KEY, which=0, feature=0, degree=DEGREE):
    state, result = initial_state(key, (0, 0, 0)), np.empty(degree)
    set_nonce(state, UNIFORM_DOMAIN, which, feature)
    uniform_row(state, float(prime), prime.bit_length(), np.empty(degree, dtype=np.uint64), result)
    return result


def by_the_rule(prime, which, feature):
    """Residue k is word k if it is below the prime, else the next unused word behind the first N."""
    words = keystream(KEY, (UNIFORM_DOMAIN, which, feature), 16 * DEGREE).view(np.uint64)
    words &= np.uint64((1 << prime.bit_length()) - 1)
    found, behind = words[:DEGREE].tolist(), iter(words[DEGREE:].tolist())
    return [value if value < prime else next(other for other in behind if other < prime) for value in found]


@pytest.mark.parametrize("prime", [TIGHT, LOOSE, (1 << 40) + 12289, (1 << 20) + 1, (1 << 49) + 1])
def test_residues_are_the_words_of_the_stream_or_those_behind_them(prime):
    found = residues(prime, which=3, feature=700)
    assert found.tolist() == by_the_rule(prime, 3, 700)
    assert found.max() < prime


def spread(values, prime, cells=256):
    """Probabilities of the counts in equal cells, and of the low bits."""
    counts = np.bincount((values * cells / prime).astype(int), minlength=cells)
    low_bits = np.bincount(values.astype(np.int64) % cells, minlength=cells)
    return stats.chisquare(counts).pvalue, stats.chisquare(low_bits).pvalue


@pytest.mark.parametrize("prime", [TIGHT, LOOSE])
def test_residues_are_uniform(prime):
    drawn = np.concatenate([residues(prime, feature=feature) for feature in range(100)])
    assert min(spread(drawn, prime)) > LEAST_P
    words = keystream(KEY, (UNIFORM_DOMAIN, 0, 0), 2 * len(drawn)).view(np.uint64) & np.uint64(2**41 - 1)
    reduced = (words % np.uint64(LOOSE)).astype(np.float64)
    assert spread(reduced, LOOSE)[0] < LEAST_P  # remainders in place of rejection would be seen


def test_every_key_prime_and_feature_has_a_stream_of_its_own():
    prime = TIGHT
    rows = [residues(prime, key, which, feature) for key in (KEY, KEY[::-1]) for which in (0, 1) for feature in (0, 1)]
    assert len({row.tobytes() for row in rows}) == 8
    deviation = prime / np.sqrt(12)
    for one, other in pairwise(rows):
        correlation = np.mean((one - prime / 2) * (other - prime / 2)) / deviation**2
        assert abs(correlation) < 5 / np.sqrt(DEGREE)


@pytest.mark.parametrize("word", range(3))
def test_each_bit_of_the_coins_counts_once_in_one_error(word):
    """Words of heads, of tails, and third ones, whose bits 0 to 9 are heads and 11 to 20 tails of the second error."""
    for bit in range(32):
        words, result = np.zeros(12, dtype=np.uint32), np.empty(8)
        words[4 * word + 1] = np.uint32(1 << bit)
        errors_of(words, result)
        wanted = np.zeros(8)
        if word < 2:
            wanted[1 if bit < LARGEST_ERROR else 5] = (1, -1)[word]
        elif bit < 10:
            wanted[5] = 1
        elif 11 <= bit <= 20:
            wanted[5] = -1
        assert result.tolist() == wanted.tolist(), bit


def test_all_coins_give_the_extremes():
    words, result = np.zeros(12, dtype=np.uint32), np.empty(8)
    words[:4] = words[8:] = np.uint32(2**32 - 1)
    errors_of(words, result)
    assert result.tolist() == [LARGEST_ERROR] * 4 + [11] * 4
    words[8:] = np.uint32(0x3FF)
    errors_of(words, result)
    assert result.tolist() == [LARGEST_ERROR] * 8


def test_errors_have_the_exact_distribution_of_42_coins():
    state, rows = initial_state(KEY, (0, 0, 0)), np.empty((300, DEGREE))
    for feature, row in enumerate(rows):
        set_nonce(state, ERROR_DOMAIN, 0, feature)
        error_row(state, np.empty(3 * DEGREE // 2, dtype=np.uint32), row)
    for half in (rows[:, : DEGREE // 2], rows[:, DEGREE // 2 :]):
        counts, expected = merged(counted(half.ravel()))
        assert stats.chisquare(counts, expected).pvalue > LEAST_P
    variance = COINS / 4
    for other in (np.roll(rows, 1, axis=1), np.roll(rows, DEGREE // 2, axis=1), np.roll(rows, 1, axis=0)):
        assert abs(np.mean(rows * other)) < 5 * variance / np.sqrt(rows.size)
    assert EXACT.sum() == pytest.approx(1)
