"""A block's first parts: m + e - a s of every feature, packed. The client alone runs it. Compiled by numba.

Nothing here branches on, or reads a table at, the secret, an error or a message.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.draws.bits import pack_row
from secure.draws.sampling import ERROR_DOMAIN, UNIFORM_DOMAIN, error_row, set_nonce, uniform_row
from secure.engine.modular import reduced, times
from secure.engine.tables import BLOCK_ROWS
from secure.engine.transform import backward, forward
from secure.engine.vectors import LANES, move_transposed
from secure.streams.compiled import kernel
from secure.streams.encoder import encode

Array = NDArray[np.float64]


@kernel
def to_seal_order(row: Array, columns: int, result: Array) -> None:
    """result (N,): values in the engine's order (N,) in SEAL's."""
    for start in range(0, len(row), BLOCK_ROWS * columns):
        for column in range(0, columns, BLOCK_ROWS):
            move_transposed(row, start + column * BLOCK_ROWS, BLOCK_ROWS, result, start + column, columns)


@kernel
def to_engine_order(row: Array, columns: int, result: Array) -> None:
    """result (N,): values in SEAL's order (N,) in the engine's."""
    for start in range(0, len(row), BLOCK_ROWS * columns):
        for column in range(0, columns, BLOCK_ROWS):
            move_transposed(row, start + column, columns, result, start + column * BLOCK_ROWS, BLOCK_ROWS)


@kernel
def seal(images, first, scale, which, keys, secret, widths, packed, t, cosines):  # type: ignore[no-untyped-def]
    """packed (features, words) = m + e - a s of features from number `first` on, modulo prime number `which`.

    m encodes a feature of images (planes, images, all features), times scale; its coefficients are at most 2^52. A
    second plane holds the imaginary parts as `phases.planes` gives them. keys (2, 16): the states of the streams of a
    and e. secret (primes, N): s, centred, in SEAL's order. widths: bits of a packed
    value, and dropped bits. If no bits are dropped, residues in SEAL's order are packed; otherwise coefficients,
    divided by 2^dropped and rounded.
    """
    degree, prime, inverse = secret.shape[1], t.primes[which], t.inverses[which]
    (bits, dropped), s = widths, secret[which]
    row, other, random = np.empty(degree), np.empty(degree), np.empty(degree)
    words, coins = np.empty(degree, dtype=np.uint64), np.empty(3 * degree // 2, dtype=np.uint32)
    halves, scratch = np.empty((2, LANES, degree // 2)), np.empty((3, LANES * degree // 2))
    uniform, error = keys[0].copy(), keys[1].copy()
    for place in range(len(packed)):
        if place % LANES == 0:
            for plane in range(len(images)):
                encode(images[plane], first + place, scale, scratch, halves[plane], cosines)
        set_nonce(uniform, UNIFORM_DOMAIN, which, first + place)
        set_nonce(error, ERROR_DOMAIN, 0, first + place)
        error_row(error, coins, row)
        _add_message(halves[0, place % LANES], prime, inverse, row)
        if len(images) > 1:
            _add_turned(halves[1, place % LANES], prime, inverse, row)
        uniform_row(uniform, prime, bits + dropped, words, random)
        _products(random, s, prime, inverse)
        if dropped == 0:
            forward(row, other, which, t)
            to_seal_order(row, t.columns, other)
            _difference(other, random, prime, inverse)
        else:
            to_engine_order(random, t.columns, other)
            backward(other, random, which, t)
            _difference(row, other, prime, inverse)
            _rounded(row, dropped, bits, other)
        pack_row(other, bits, packed[place])


@kernel
def _add_message(half: Array, prime: float, inverse: float, row: Array) -> None:
    """row (N,) += the coefficients of real slots, whose first half (N / 2,) states all: c_(N - k) = -c_k."""
    count = len(half)
    for place in range(count):
        row[place] += reduced(half[place], prime, inverse)
    for place in range(1, count):
        row[2 * count - place] -= reduced(half[place], prime, inverse)


@kernel
def _add_turned(half: Array, prime: float, inverse: float, row: Array) -> None:
    """row (N,) += X^(N / 2) times what `_add_message` adds."""
    count = len(half)
    for place in range(count):
        row[count + place] += reduced(half[place], prime, inverse)
    for place in range(1, count):
        row[count - place] += reduced(half[place], prime, inverse)


@kernel
def _products(random: Array, s: Array, prime: float, inverse: float) -> None:
    """random = a s modulo the prime, for a in [0, prime)."""
    half = prime / 2
    for place in range(len(random)):
        centred = random[place] - (prime if random[place] > half else 0.0)
        random[place] = times(centred, s[place], prime, inverse)


@kernel
def _difference(row: Array, other: Array, prime: float, inverse: float) -> None:
    """row = row - other modulo the prime, in [0, prime)."""
    for place in range(len(row)):
        value = reduced(row[place] - other[place], prime, inverse)
        row[place] = value + (prime if value < 0 else 0.0)


@kernel
def _rounded(row: Array, dropped: int, bits: int, result: Array) -> None:
    """result = row / 2^dropped, rounded. Where it is 2^bits, it is 0: the residue is as close to the prime.

    Halves go to the even number. Always upwards, they would add half a unit to every coefficient of every feature on
    average, and a polynomial whose coefficients are all alike is huge in the first slots, where roots are close to 1.
    """
    step, mask = 0.5**dropped, (1 << bits) - 1
    for place in range(len(row)):
        result[place] = np.float64(np.int64(np.rint(row[place] * step)) & mask)
