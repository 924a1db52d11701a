"""What is drawn from streams: uniform residues, and errors of SEAL's distribution.

Each row of N values has a stream of its own: a ChaCha20 key, and a nonce of (domain, prime, feature), as
`secure.draws.sampling` states it. Residue k is word k of 64 bits, cut to the bits of the prime, if it is below the
prime. Otherwise it is the next word behind the first N that is below the prime and was not used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from entry.chacha import BLOCK_WORDS, streams

Array = NDArray[np.float64]
Words = NDArray[np.uint64]
Words32 = NDArray[np.uint32]

#: First words of nonces.
UNIFORM_DOMAIN, ERROR_DOMAIN = 0, 1
#: Blocks that are made together for residues that are replaced.
EXTRA_BLOCKS = 8
#: The largest error, and the coins of each sign.
LARGEST_ERROR = 21
_COINS = np.uint32((1 << LARGEST_ERROR) - 1)


def uniform_rows(key: bytes, which: int, prime: int, features: int, degree: int) -> Words:
    """(features, N): residues below prime number `which`, uniform."""
    nonces = _nonces(UNIFORM_DOMAIN, which, features)
    mask = np.uint64((1 << prime.bit_length()) - 1)
    result = streams(key, nonces, 0, 2 * degree // BLOCK_WORDS).view(np.uint64)
    result &= mask
    too_large = result >= prime
    rows = np.flatnonzero(too_large.any(axis=1))
    if len(rows):
        more = streams(key, nonces[rows], 2 * degree // BLOCK_WORDS, EXTRA_BLOCKS).view(np.uint64) & mask
        for row, extra in zip(rows, more, strict=True):
            places = np.flatnonzero(too_large[row])
            block = 2 * degree // BLOCK_WORDS + EXTRA_BLOCKS
            while len(usable := extra[extra < prime]) < len(places):
                drawn = streams(key, nonces[row : row + 1], block, EXTRA_BLOCKS).view(np.uint64)[0] & mask
                extra, block = np.concatenate([extra, drawn]), block + EXTRA_BLOCKS
            result[row, places] = usable[: len(places)]
    return result


def error_rows(key: bytes, features: int, degree: int) -> Array:
    """(features, N): errors, the heads of 21 coins minus those of 21 others.

    Three words of 32 bits make two errors, k and k + N / 2: words k, N / 2 + k and N + k of the stream.
    """
    blocks, half = 3 * degree // 2 // BLOCK_WORDS, degree // 2
    words = streams(key, _nonces(ERROR_DOMAIN, 0, features), 0, blocks)
    up, down, rest = words[:, :half], words[:, half:degree], words[:, degree:]
    used, left = np.uint32(LARGEST_ERROR), np.uint32(32 - LARGEST_ERROR)
    first, second = (up >> used) | rest << left, (down >> used) | (rest >> left) << left
    errors = np.empty((features, degree))
    errors[:, :half] = _heads(up & _COINS) - _heads(down & _COINS)
    errors[:, half:] = _heads(first & _COINS) - _heads(second & _COINS)
    return errors


def _nonces(domain: int, which: int, features: int) -> Words32:
    return np.array([(domain, which, feature) for feature in range(features)], dtype=np.uint32)


def _heads(coins: Words32) -> NDArray[np.int32]:
    """How many bits are set: counts of two bits, of four, of eight, then their sum by a product."""
    coins = coins - ((coins >> np.uint32(1)) & np.uint32(0x55555555))
    coins = (coins & np.uint32(0x33333333)) + ((coins >> np.uint32(2)) & np.uint32(0x33333333))
    coins = (coins + (coins >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
    return ((coins * np.uint32(0x01010101)) >> np.uint32(24)).astype(np.int32)
