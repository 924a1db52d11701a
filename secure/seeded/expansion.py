"""The residues that SEAL's generator makes of a seed: the random half of a seeded ciphertext. Compiled by numba.

SEAL's generator is BLAKE2Xb (Aumasson and others, "BLAKE2X", 2016) in buffers of 4096 bytes. Buffer number k is the
output for the message k (8 bytes) under the seed as key. A buffer is 64 nodes of 64 bytes: each is one compression of
the same root, with the node's number in its parameters. So 64 nodes are computed side by side, in vector instructions.

A polynomial takes as many words as it has residues. A word of at least the largest multiple of the prime below 2^64 - 1
would make small residues more likely, so SEAL draws another one, from behind the words of the polynomial
(SEAL 4, `sample_poly_uniform`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.engine.compiled import inlined, kernel

Words = NDArray[np.uint64]

SEED_BYTES = 64
BUFFER_BYTES, NODE_BYTES, WORD_BYTES = 4096, 64, 8
BUFFER_WORDS, NODES = BUFFER_BYTES // WORD_BYTES, BUFFER_BYTES // NODE_BYTES

#: The initial state of BLAKE2b (RFC 7693), and the order in which its rounds take the words of a message.
_STATE = np.array(
    [0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
     0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179],
    dtype=np.uint64,
)  # fmt: skip
_ORDER = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    dtype=np.int64,
)
_ROUNDS = len(_ORDER)
#: The state after its parameters: a node of 64 bytes, without key, in an unlimited tree of leaves of 64 bytes.
_NODE_STATE = _STATE ^ np.array(
    [NODE_BYTES | NODE_BYTES << 32, BUFFER_BYTES << 32, NODE_BYTES << 8, 0, 0, 0, 0, 0], dtype=np.uint64
)
_LENGTH, _LAST = np.uint64(NODE_BYTES), np.uint64(2**64 - 1)
_R32, _R24, _R16, _R63 = np.uint64(32), np.uint64(24), np.uint64(16), np.uint64(63)
_L32, _L40, _L48, _L1 = np.uint64(32), np.uint64(40), np.uint64(48), np.uint64(1)


def uniform(seed: bytes, primes: Sequence[int], degree: int) -> Words:
    """(primes, N): what SEAL expands a seed of 64 bytes to, residues below each prime, in SEAL's order."""
    words = len(primes) * degree
    stream = np.empty(words + BUFFER_WORDS, dtype=np.uint64)
    scratch = np.empty((16, NODES), dtype=np.uint64)
    first = words // BUFFER_WORDS
    expand_nodes(_roots(seed, 0, first), stream[:words], scratch)
    moduli = np.array(primes, dtype=np.uint64)
    ceilings = np.array([_LAST_WORD - _LAST_WORD % prime - 1 for prime in primes], dtype=np.uint64)
    result = stream[:words].reshape(len(primes), degree)
    extra, used = stream[words:], 0
    place = 0
    while place < words:
        if used % BUFFER_WORDS == 0:
            expand_nodes(_roots(seed, first + used // BUFFER_WORDS, 1), extra, scratch)
        place, used = reduce_words(result, moduli, ceilings, extra, place, used)
    return result


_LAST_WORD = 2**64 - 1


def _roots(seed: bytes, first: int, count: int) -> Words:
    """(buffers, 8): the roots of `count` buffers from number `first` on."""
    digests = [
        hashlib.blake2b(number.to_bytes(8, "little"), key=seed, node_offset=BUFFER_BYTES << 32).digest()
        for number in range(first, first + count)
    ]
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(count, NODE_BYTES // WORD_BYTES)


@inlined
def _rotated(value: Any, right: Any, left: Any) -> Any:
    return (value >> right) | (value << left)


@kernel
def _mix(a: Words, b: Words, c: Words, d: Words, x: Any, y: Any) -> None:
    """BLAKE2b's G on the state's rows a, b, c and d of all nodes, with two words of the message."""
    for node in range(NODES):
        first = a[node] + b[node] + x
        fourth = _rotated(d[node] ^ first, _R32, _L32)
        third = c[node] + fourth
        second = _rotated(b[node] ^ third, _R24, _L40)
        first = first + second + y
        fourth = _rotated(fourth ^ first, _R16, _L48)
        third = third + fourth
        a[node], c[node], d[node] = first, third, fourth
        b[node] = _rotated(second ^ third, _R63, _L1)


@kernel
def expand_nodes(roots: Words, result: Words, v: Words) -> None:
    """result (buffers * 512,): the words of the buffers with these roots. v: scratch (16, NODES)."""
    message = np.zeros(16, dtype=np.uint64)
    for buffer in range(len(roots)):
        message[:8] = roots[buffer]
        for word in range(8):
            for node in range(NODES):
                v[word, node] = _NODE_STATE[word]
                v[word + 8, node] = _STATE[word]
        for node in range(NODES):
            v[1, node] ^= np.uint64(node)
            v[12, node] ^= _LENGTH
            v[14, node] ^= _LAST
        for turn in range(_ROUNDS):
            order = _ORDER[turn]
            for column in range(4):
                _mix(v[column], v[column + 4], v[column + 8], v[column + 12],
                     message[order[2 * column]], message[order[2 * column + 1]])  # fmt: skip
            for column in range(4):
                _mix(v[column], v[(column + 1) % 4 + 4], v[(column + 2) % 4 + 8], v[(column + 3) % 4 + 12],
                     message[order[2 * column + 8]], message[order[2 * column + 9]])  # fmt: skip
        target = result[buffer * BUFFER_WORDS : (buffer + 1) * BUFFER_WORDS]
        for word in range(8):
            for node in range(NODES):
                state = _NODE_STATE[word] ^ v[word, node] ^ v[word + 8, node]
                target[node * 8 + word] = state ^ np.uint64(node) if word == 1 else state


@kernel
def reduce_words(values: Words, primes: Words, ceilings: Words, extra: Words, place: int, used: int) -> tuple[int, int]:
    """Replace the words (primes, N) that are too large, from `place` on, and then reduce all by their primes.

    extra: a buffer of further words; `used` counts them over all buffers. Returns (place, used): the place behind the
    last word, or that of a word for which the buffer had no word left. In that case nothing is reduced yet.
    """
    rows, degree = values.shape
    fresh, first = True, place % degree
    for row in range(place // degree, rows):
        ceiling = ceilings[row]
        for column in range(first, degree):
            word = values[row, column]
            while word >= ceiling:
                if used % len(extra) == 0 and not fresh:
                    values[row, column] = word
                    return row * degree + column, used
                word = extra[used % len(extra)]
                used += 1
                fresh = False
            values[row, column] = word
        first = 0
    for row in range(rows):
        _remainders(values[row], primes[row])
    return rows * degree, used


@kernel
def _remainders(values: Words, prime: np.uint64) -> None:
    """values %= prime, by a quotient in float64, which is off by one at most (derived: it is below 2^44 for primes of
    20 bits or more). Division of integers has no vector instructions."""
    inverse = 1.0 / np.float64(prime)
    for place in range(len(values)):
        word = values[place]
        quotient = np.uint64(np.int64(np.float64(word) * inverse))
        rest = np.int64(word - quotient * prime)
        rest += np.int64(prime) if rest < 0 else np.int64(0)
        rest -= np.int64(prime) if rest >= np.int64(prime) else np.int64(0)
        values[place] = np.uint64(rest)
