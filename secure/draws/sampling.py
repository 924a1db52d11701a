"""What a client and a server draw from streams: uniform residues, and errors of SEAL's distribution. Compiled by numba.

Every row of N residues has a stream of its own: a ChaCha20 key, and a nonce of (domain, prime, feature). Words of 64
bits are cut to the bits of the prime. Residue k is word k, if it is below the prime; otherwise it is the next word
behind the first N that is below the prime and was not used. So residues are uniform, and one that is replaced moves no
other.

An error is the heads of 21 coins minus the heads of 21 others, as SEAL samples them (`secure.parties.encryptor`). Three
words of 32 bits make two errors, k and k + N / 2: words k, N / 2 + k and N + k of the stream. The low 21 bits of the
first word are heads of the first error, those of the second word its tails. The other 11 bits of each word and ten bits
of the third one are heads and tails of the second error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.draws.chacha import BATCH_WORDS, BLOCK_WORDS, NONCE, fill
from secure.draws.compiled import kernel
from secure.engine.compiled import inlined

Array = NDArray[np.float64]
Words = NDArray[np.uint64]
Words32 = NDArray[np.uint32]

#: First words of nonces.
UNIFORM_DOMAIN, ERROR_DOMAIN = 0, 1
#: Words of 64 bits that are drawn together for residues that are replaced.
EXTRA_WORDS = BATCH_WORDS // 2
#: The largest error, and the coins of each sign.
LARGEST_ERROR = 21
_COINS = np.uint32((1 << LARGEST_ERROR) - 1)
#: float64 with these bits above its fraction is 2^52 plus the fraction as a whole number.
_EXPONENT, _TWO_52 = np.uint64(0x4330000000000000), 2.0**52


@kernel
def set_nonce(state: Words32, domain: int, prime: int, feature: int) -> None:
    """Set the nonce of a state."""
    state[NONCE], state[NONCE + 1], state[NONCE + 2] = np.uint32(domain), np.uint32(prime), np.uint32(feature)


@kernel
def uniform_row(state: Words32, prime: float, bits: int, words: Words, result: Array) -> None:
    """result (N,): the residues of a stream, in [0, prime). words: scratch (N,). bits: of the prime, at most 52."""
    fill(state, np.uint32(0), words.view(np.uint32))
    if masked(words, prime, bits, result) > 0:
        _replace(state, prime, np.uint64((1 << bits) - 1), result)


@kernel
def masked(words: Words, prime: float, bits: int, result: Array) -> int:
    """result = the low bits of words, which are overwritten. Returns how many are not below the prime."""
    mask = np.uint64((1 << bits) - 1)
    for place in range(len(words)):
        words[place] = (words[place] & mask) | _EXPONENT
    floats, too_large = words.view(np.float64), 0
    for place in range(len(words)):
        value = floats[place] - _TWO_52
        result[place] = value
        too_large += value >= prime
    return too_large


@kernel
def _replace(state: Words32, prime: float, mask: Any, result: Array) -> None:
    """Replace residues that are not below the prime by the stream's words behind the first N."""
    extra = np.empty(EXTRA_WORDS, dtype=np.uint64)
    block, used = 2 * len(result) // BLOCK_WORDS, EXTRA_WORDS
    for place in range(len(result)):
        while result[place] >= prime:
            if used == EXTRA_WORDS:
                fill(state, np.uint32(block), extra.view(np.uint32))
                block, used = block + BATCH_WORDS // BLOCK_WORDS, 0
            result[place] = np.float64(extra[used] & mask)
            used += 1


@inlined
def _heads(coins: Any) -> Any:
    """How many of 32 bits are set: counts of two bits, of four, of eight, then their sum by a product."""
    coins -= (coins >> np.uint32(1)) & np.uint32(0x55555555)
    coins = (coins & np.uint32(0x33333333)) + ((coins >> np.uint32(2)) & np.uint32(0x33333333))
    coins = (coins + (coins >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
    return np.int32(np.uint32(coins * np.uint32(0x01010101)) >> np.uint32(24))


@kernel
def error_row(state: Words32, coins: Words32, result: Array) -> None:
    """result (N,): errors from a stream. coins: scratch (3 N / 2,)."""
    fill(state, np.uint32(0), coins)
    errors_of(coins, result)


@kernel
def errors_of(coins: Words32, result: Array) -> None:
    """result (N,): the errors of coins (3 N / 2,)."""
    half = len(result) // 2
    up, down, rest = coins[:half], coins[half : 2 * half], coins[2 * half :]
    low, high = result[:half], result[half:]
    used, left = np.uint32(LARGEST_ERROR), np.uint32(32 - LARGEST_ERROR)
    for place in range(half):
        low[place] = _heads(up[place] & _COINS) - _heads(down[place] & _COINS)
        first = (up[place] >> used) | rest[place] << left
        second = (down[place] >> used) | (rest[place] >> left) << left
        high[place] = _heads(first & _COINS) - _heads(second & _COINS)
