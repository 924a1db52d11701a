"""The client makes its evaluation keys: seeded, packed, and no larger than the level of their use needs.

The key that leads from s' to s has for every digit d, with the product G of the digit's primes, the halves

    -u_d s + e_d + [P s' on the rows of the digit's own primes, 0 on all others]   and   u_d

modulo the primes of its rows: P s' times the number that is 1 modulo G and 0 modulo the other data primes. s' is the
square of s, or s under an automorphism. u_d is expanded from a seed of 32 bytes, which is sent in its place; e_d is
expanded from a key of 32 other bytes, which nobody gets. Both are fresh bytes of the operating system for every key.
e_d has SEAL's distribution (`secure.draws.sampling`). Nothing here branches on, or reads a table at, the secret or an
error.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from secure.draws.bits import pack_row
from secure.draws.chacha import KEY_BYTES, initial_state
from secure.draws.sampling import ERROR_DOMAIN, UNIFORM_DOMAIN, error_row, set_nonce, uniform_row
from secure.engine.modular import reduced, times
from secure.engine.tables import engine_order, make_tables, rotation_order
from secure.engine.transform import forward
from secure.key_shape import HEAD, MAGIC, SEED_BYTES, KeyShape, item_bytes
from secure.params import Params
from secure.switching.compiled import kernel
from secure.switching.secret import SecretRows

Array = NDArray[np.float64]


class KeyMaker:
    """Makes the evaluation keys of one secret key. Only a client has one. `wipe` it at the end."""

    def __init__(self, params: Params, content: bytes) -> None:
        """content: SEAL's bytes of the secret key.

        Raises: BackendError for primes that are too large for the engine; FormatError for bytes of another key.
        """
        self._params, self._degree = params, params.poly_modulus_degree
        self._tables = make_tables(params)
        self._order = engine_order(self._degree)
        self._secret = SecretRows(params, self._tables, content)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key cannot be pickled or copied; save it with write_keys")

    def wipe(self) -> None:
        """Overwrite the secret key's residues."""
        self._secret.wipe()

    def relin_item(self, level: int) -> bytes:
        """The item with the key for the square of the secret, for values of this level; empty for level 0."""
        if not level:
            return b""
        squares = np.empty_like(self._secret.values)
        square_rows(self._secret.values, squares, self._tables)
        try:
            return self._item((squares,), (level,))
        finally:
            squares.fill(0)

    def galois_item(self, elements: Sequence[int], levels: Sequence[int]) -> bytes:
        """The item with the keys of these Galois elements, each for values of its level; empty for none."""
        moved = (self._secret.values[:, rotation_order(element, self._degree)] for element in elements)
        return self._item(moved, levels) if elements else b""

    def _item(self, targets, levels: Sequence[int]) -> bytes:  # type: ignore[no-untyped-def]
        """targets: (primes, N), the s' of every key. They are overwritten."""
        result = bytearray(item_bytes(self._params, levels))
        HEAD.pack_into(result, 0, MAGIC, len(levels))
        start = HEAD.size
        for target, level in zip(targets, levels, strict=True):
            shape = KeyShape(self._params, level)
            self._write(shape, target, memoryview(result)[start : start + shape.packed_bytes])
            target.fill(0)
            start += shape.packed_bytes
        return bytes(result)

    def _write(self, shape: KeyShape, target: Array, place: memoryview) -> None:
        """Write one key into its place."""
        seed = os.urandom(SEED_BYTES)
        states = np.stack([initial_state(key, (0, 0, 0)) for key in (seed, os.urandom(KEY_BYTES))])
        ends = np.array([digit.stop for digit in shape.digits])
        rows, bits = np.array(shape.rows), np.array(shape.bits)
        place[:SEED_BYTES] = seed
        packed = np.frombuffer(place[SEED_BYTES:], dtype="<u8")
        scratch = np.empty((4, self._degree))
        write_bodies(states, self._secret.values, target, rows, bits, ends, self._order, packed, scratch, self._tables)
        states.fill(0)
        scratch.fill(0)


@kernel
def square_rows(secret, result, t):  # type: ignore[no-untyped-def]
    """result (primes, N) = the square of the secret (primes, N)."""
    for row in range(len(secret)):
        prime, inverse, source, target = t.primes[row], t.inverses[row], secret[row], result[row]
        for place in range(len(source)):
            target[place] = reduced(times(source[place], source[place], prime, inverse), prime, inverse)


@kernel
def write_bodies(states, secret, target, rows, bits, ends, order, packed, scratch, t):  # type: ignore[no-untyped-def]
    """packed (words,) = the packed first halves of every digit and row of a key.

    states (2, 16): of the streams of the second halves and of the errors. secret, target (primes, N): s and s', in the
    engine's order. rows, bits: the prime of every row, and its bits. ends: where the data primes of every digit end.
    order: SEAL's index of each place of the engine. scratch: (4, N).
    """
    degree = secret.shape[1]
    words, coins = np.empty(degree, dtype=np.uint64), np.empty(3 * degree // 2, dtype=np.uint32)
    error, body, uniform, own = scratch[0], scratch[1], scratch[2], scratch[3]
    start, first = 0, 0
    for digit in range(len(ends)):
        set_nonce(states[1], ERROR_DOMAIN, 0, digit)
        error_row(states[1], coins, error)
        for place in range(len(rows)):
            which = rows[place]
            prime, inverse = t.primes[which], t.inverses[which]
            set_nonce(states[0], UNIFORM_DOMAIN, which, digit)
            uniform_row(states[0], prime, bits[place], words, uniform)
            body[:] = error
            forward(body, own, which, t)
            # P modulo the primes of the digit, and 0 modulo the others
            factor = t.special[which] if first <= which < ends[digit] else 0.0
            _add_hidden(body, uniform, secret[which], target[which], factor, order, own, prime, inverse)
            size = degree * bits[place] // 64
            pack_row(own, bits[place], packed[start : start + size])
            start += size
        first = ends[digit]
    coins[:] = 0


@kernel
def _add_hidden(error, uniform, secret, target, factor, order, result, prime, inverse):  # type: ignore[no-untyped-def]
    """result (N,), in SEAL's order, in [0, prime) = error - uniform * secret + factor * target."""
    half = prime / 2
    for place in range(len(order)):
        value = uniform[order[place]]
        centred = value - prime if value > half else value
        hidden = error[place] - times(centred, secret[place], prime, inverse)
        value = reduced(hidden + times(target[place], factor, prime, inverse), prime, inverse)
        result[order[place]] = value + prime if value < 0 else value
