"""The packed parts of blocks as residues: what a server reads of a request, what a client decrypts of a reply.
Compiled by numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.draws.bits import pack_row, unpack_row
from secure.draws.chacha import BATCH_WORDS, BLOCK_WORDS, LANES, eight_blocks
from secure.draws.sampling import UNIFORM_DOMAIN, masked, set_nonce, uniform_row
from secure.engine.modular import fma, reduced, times
from secure.engine.transform import backward, forward
from secure.streams.compiled import kernel
from secure.streams.sealing import to_engine_order, to_seal_order

Array = NDArray[np.float64]


@kernel
def expand(packed, first, which, key, bits, dropped, result, t):  # type: ignore[no-untyped-def]
    """result (features, 2, N) = both parts of each feature modulo prime number `which`, centred, in SEAL's order.

    packed (features, words): first parts as `sealing.seal` packs them. key (16,): the state of the second parts'
    stream. False where a packed residue is not below the prime.
    """
    degree, columns = result.shape[2], t.columns
    prime, inverse = t.primes[which], t.inverses[which]
    words, row, scratch = np.empty(degree, dtype=np.uint64), np.empty(degree), np.empty(degree)
    uniform, right = key.copy(), True
    for feature in range(len(packed)):
        set_nonce(uniform, UNIFORM_DOMAIN, which, first + feature)
        uniform_row(uniform, prime, bits + dropped, words, result[feature, 1])
        _centre(result[feature, 1], prime)
        if dropped == 0:
            unpack_row(packed[feature], 0, bits, result[feature, 0])
            right &= _centre(result[feature, 0], prime)
        else:
            unpack_row(packed[feature], 0, bits, row)
            for place in range(degree):
                row[place] = reduced(row[place] * 2.0**dropped, prime, inverse)
            forward(row, scratch, which, t)
            to_seal_order(row, columns, result[feature, 0])
    return right


@kernel
def expand_chunk(packed, features, first, which, key, bits, flat, stride, positions, t):  # type: ignore[no-untyped-def]
    """`expand` of some features for `positions` positions from the first one on, if no bits are dropped.

    flat: position j of part p of features[f] goes to f * stride + p * positions + j. positions: a power of two from 8
    on.
    """
    degree, prime = len(packed[0]) * 64 // bits, t.primes[which]
    state, right = key.copy(), True
    set_nonce(state, UNIFORM_DOMAIN, which, 0)
    words, row = np.empty(BATCH_WORDS // 2, dtype=np.uint64), np.empty(0)
    numbers, nonces = np.empty(LANES, dtype=np.uint32), np.empty(LANES, dtype=np.uint32)
    each = min(positions, BATCH_WORDS // 2)
    blocks = 2 * each // BLOCK_WORDS
    for group in range(0, len(features), LANES // blocks):
        last = min(group + LANES // blocks, len(features))
        for start in range(0, positions, each):
            for lane in range(LANES):
                numbers[lane] = np.uint32((first + start) * 2 // BLOCK_WORDS + lane % blocks)
                nonces[lane] = np.uint32(features[min(group + lane // blocks, last - 1)])
            eight_blocks(state, numbers, nonces, words.view(np.uint32), 0)
            for member in range(group, last):
                target = member * stride + positions + start
                part = flat[target : target + each]
                if masked(words[(member - group) * each : (member - group + 1) * each], prime, bits, part) > 0:
                    if len(row) == 0:
                        row, long = np.empty(degree), np.empty(degree, dtype=np.uint64)
                    set_nonce(state, UNIFORM_DOMAIN, which, features[member])
                    uniform_row(state, prime, bits, long, row)
                    part[:] = row[first + start : first + start + each]
                _centre(part, prime)
        for member in range(group, last):
            part = flat[member * stride : member * stride + positions]
            unpack_row(packed[features[member]], first, bits, part)
            right &= _centre(part, prime)
    return right


@kernel
def _centre(row: Array, prime: float) -> Any:
    """row = residues in [0, prime), centred. False where one is not below the prime."""
    half, wrong = prime / 2, 0
    for place in range(len(row)):
        value = row[place]
        wrong += value >= prime
        row[place] = value - (prime if value > half else 0.0)
    return wrong == 0


@kernel
def pack(values, which, bits, packed, t):  # type: ignore[no-untyped-def]
    """packed (outputs, parts, words) = centred residues (outputs, parts, N) modulo prime number `which`."""
    prime, inverse = t.primes[which], t.inverses[which]
    row = np.empty(values.shape[2])
    for output in range(values.shape[0]):
        for part in range(values.shape[1]):
            source = values[output, part]
            for place in range(len(row)):
                value = reduced(source[place], prime, inverse)
                row[place] = value + (prime if value < 0 else 0.0)
            pack_row(row, bits, packed[output, part])


@kernel
def open_block(packed, which, secret, bits, result, t):  # type: ignore[no-untyped-def]
    """result (outputs, N) = the coefficients of the sum of c_k s^k modulo prime number `which`, centred.

    packed (outputs, parts, words): residues in SEAL's order. secret (primes, N): s, centred, in SEAL's order. False
    where a residue is not below the prime.
    """
    outputs, parts = packed.shape[:2]
    degree, columns = result.shape[1], t.columns
    prime, inverse, s = t.primes[which], t.inverses[which], secret[which]
    row, part, right = np.empty(degree), np.empty(degree), True
    for output in range(outputs):
        row[:] = 0
        for index in range(parts - 1, -1, -1):
            unpack_row(packed[output, index], 0, bits, part)
            right &= _centre(part, prime)
            for place in range(degree):
                row[place] = reduced(times(row[place], s[place], prime, inverse) + part[place], prime, inverse)
        to_engine_order(row, columns, part)
        backward(part, row, which, t)
        for place in range(degree):
            result[output, place] = reduced(part[place], prime, inverse)
    return right


@kernel
def combine(rows, t):  # type: ignore[no-untyped-def]
    """rows[0] = the centred whole numbers modulo the product of the primes, as the nearest float64.

    rows (primes, count): centred residues, which are overwritten.

    Digits to the bases q1, q1 q2, ..., each centred (Garner, "The residue number system", 1959), then their sum by
    Horner in pairs of float64, whose errors are 2^-106 of the sum (derived).
    """
    primes, count = rows.shape
    for which in range(1, primes):
        prime, inverse = t.primes[which], t.inverses[which]
        for lower in range(which):
            factor = t.prime_inverse[which, lower]
            for place in range(count):
                rest = reduced(rows[which, place] - reduced(rows[lower, place], prime, inverse), prime, inverse)
                rows[which, place] = reduced(times(rest, factor, prime, inverse), prime, inverse)
    for place in range(count):
        high, low = rows[primes - 1, place], 0.0
        for which in range(primes - 2, -1, -1):
            product = high * t.primes[which]
            low = low * t.primes[which] + fma(high, t.primes[which], -product)
            # the product is zero or larger than the digit, so this difference is the sum's rounding error
            digit = rows[which, place]
            high = product + digit
            low += digit - (high - product)
        rows[0, place] = high + low
