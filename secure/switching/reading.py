"""A server reads the keys of an item, one after the other, as the engine's residues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from compress.errors import FormatError
from secure.draws.bits import unpack_row
from secure.draws.chacha import initial_state
from secure.draws.sampling import UNIFORM_DOMAIN, set_nonce, uniform_row
from secure.engine.tables import engine_order
from secure.file_bytes import Readable
from secure.key_shape import HEAD, SEED_BYTES, KeyShape, check_item
from secure.params import Params
from secure.switching.compiled import kernel

Array = NDArray[np.float64]


def read_keys(params: Params, levels: Sequence[int], item: Readable, name: str) -> Iterator[Array]:
    """(digits, 2, rows, N) for every key of an item: residues, centred, in the engine's order.

    The item's size and head are checked before the first key is read.
    Raises: FormatError.
    """
    check_item(params, levels, item, name)
    return _keys(params, levels, item, name)


def _keys(params: Params, levels: Sequence[int], item: Readable, name: str) -> Iterator[Array]:
    order, start = engine_order(params.poly_modulus_degree), HEAD.size
    for number, level in enumerate(levels):
        shape = KeyShape(params, level)
        content = memoryview(item[start : start + shape.packed_bytes])
        seed, packed = bytes(content[:SEED_BYTES]), np.frombuffer(content[SEED_BYTES:], dtype="<u8")
        primes = np.array([float(params.all_primes[row]) for row in shape.rows])
        result = np.empty((len(shape.digits), 2, len(shape.rows), params.poly_modulus_degree))
        state = initial_state(seed, (0, 0, 0))
        if not expand_key(state, packed, primes, np.array(shape.rows), np.array(shape.bits), order, result):
            raise FormatError(f"{name}: a residue of key {number} is not below its prime; make new keys with keygen")
        yield result
        del result, packed, content  # before the next ones are made, which are as large
        start += shape.packed_bytes


@kernel
def expand_key(state, packed, primes, rows, bits, order, result):  # type: ignore[no-untyped-def]
    """result (digits, 2, rows, N) = both halves of a key. False where a packed residue is not below its prime.

    state (16,): of the stream of the second halves. packed (words,): the first halves. primes, rows, bits: of every
    row, its prime, the prime's index and its bits. order: SEAL's index of each place of the engine.
    """
    degree, start, right = result.shape[3], 0, True
    row, words = np.empty(degree), np.empty(degree, dtype=np.uint64)
    for digit in range(result.shape[0]):
        for place in range(len(rows)):
            size = degree * bits[place] // 64
            unpack_row(packed[start : start + size], 0, bits[place], row)
            start += size
            right &= _centred_from(row, order, primes[place], result[digit, 0, place])
            set_nonce(state, UNIFORM_DOMAIN, rows[place], digit)
            uniform_row(state, primes[place], bits[place], words, row)
            _centred_from(row, order, primes[place], result[digit, 1, place])
    return right


@kernel
def _centred_from(source, order, prime, target):  # type: ignore[no-untyped-def]
    """target = residues of [0, prime) centred, in the engine's order. False where one is not below the prime."""
    half, wrong = prime / 2, 0
    for place in range(len(order)):
        value = source[order[place]]
        wrong += value >= prime
        target[place] = value - (prime if value > half else 0.0)
    return wrong == 0
