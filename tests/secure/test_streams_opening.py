"""Residues that are made chunk by chunk, of some features, are those of the whole block, words that are replaced
included."""

import numpy as np
import pytest

from secure.draws.bits import pack_row, row_words
from secure.draws.chacha import initial_state
from secure.draws.sampling import uniform_row
from secure.engine.tables import make_tables
from secure.params import Params, is_prime, make_params
from secure.streams.opening import expand, expand_chunk

DEGREE = 2048
#: Nearly half of the words of this prime's bits are replaced; of the other's none, as a rule.
LOOSE_PRIME = next(q for q in range((1 << 40) + 1, 1 << 41, 2 * DEGREE) if is_prime(q))
LOOSE = Params(poly_modulus_degree=DEGREE, data_primes=(LOOSE_PRIME,), special_prime=None)
TIGHT = make_params(DEGREE, [41], None)


@pytest.mark.parametrize("params", [TIGHT, LOOSE], ids=["tight", "loose"])
@pytest.mark.parametrize("features", [1, 7])
@pytest.mark.parametrize("positions", [8, 16, 32, 64, 512, DEGREE])
def test_chunks_are_parts_of_the_whole(params, features, positions):
    prime, tables = params.data_primes[0], make_tables(params)
    bits, random = prime.bit_length(), np.random.default_rng(positions)
    sent = random.integers(0, prime, (features, DEGREE))
    packed = np.empty((features, row_words(DEGREE, bits)), dtype=np.uint64)
    for row, target in zip(sent, packed, strict=True):
        pack_row(row.astype(np.float64), bits, target)
    key, whole = initial_state(random.bytes(32), (0, 0, 0)), np.empty((features, 2, DEGREE))
    assert expand(packed, 0, 0, key, bits, 0, whole, tables)
    assert np.abs(whole).max() <= prime / 2
    assert (whole[:, 0].astype(np.int64) % prime == sent).all()
    drawn = np.empty(DEGREE)
    state = key.copy()
    state[13:] = 0, 0, features - 1
    uniform_row(state, float(prime), bits, np.empty(DEGREE, dtype=np.uint64), drawn)
    assert (whole[-1, 1].astype(np.int64) % prime == drawn.astype(np.int64)).all()
    stride = 2 * positions + 24
    for first in range(0, DEGREE, max(positions, DEGREE // 4)):
        chosen = np.arange(first % 3 % features, features, 1 + first % 2048 // 512)
        flat = np.full(len(chosen) * stride, -7.0)
        assert expand_chunk(packed, chosen, first, 0, key, bits, flat, stride, positions, tables)
        rows = flat.reshape(len(chosen), stride)
        wanted = whole[chosen, :, first : first + positions].reshape(len(chosen), -1)
        assert (rows[:, : 2 * positions] == wanted).all()
        assert (rows[:, 2 * positions :] == -7).all()


def test_a_residue_that_is_too_large_is_found_in_its_chunk_alone():
    prime, tables = TIGHT.data_primes[0], make_tables(TIGHT)
    packed, row = np.empty((1, row_words(DEGREE, 41)), dtype=np.uint64), np.zeros(DEGREE)
    key = initial_state(bytes(32), (0, 0, 0))
    for place in (0, 63, 64, DEGREE - 1):
        row[:] = prime - 1
        row[place] = prime
        pack_row(row, 41, packed[0])
        assert not expand(packed, 0, 0, key, 41, 0, np.empty((1, 2, DEGREE)), tables)
        for first in range(0, DEGREE, 64):
            right = expand_chunk(packed, np.arange(len(packed)), first, 0, key, 41, np.empty(128), 128, 64, tables)
            assert right == (not first <= place < first + 64)
