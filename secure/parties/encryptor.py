"""The client's own encryptor: seeded symmetric ciphertexts on the engine's transforms, as strings of bits.

A ciphertext of a plaintext m is (m + e - a s, a). s is SEAL's secret key. a is expanded from a fresh seed, which is
sent in its place (`secure.ciphertext_shape`). e has SEAL's own distribution. All randomness comes from the operating
system: 32 bytes of seed per ciphertext, and 42 coins per coefficient of e.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from compress.errors import BackendError
from secure.ciphertext_shape import HEAD, MAGIC, SEED_BYTES, SEEDED_PARTS, item_bytes
from secure.draws.bits import pack_row
from secure.draws.chacha import initial_state
from secure.draws.sampling import UNIFORM_DOMAIN, set_nonce, uniform_row
from secure.encoding import coefficients
from secure.engine.compiled import inlined
from secure.engine.modular import reduced, times
from secure.engine.tables import BLOCK_ROWS, engine_order, make_tables
from secure.engine.transform import forward
from secure.params import Params
from secure.parties.keys import SecretKey
from secure.seal.context import Ring, to_bytes
from secure.seal.saved import key_words
from secure.seeded.reading import centre
from secure.switching.compiled import kernel

Array = NDArray[np.float64]

#: Coins of one coefficient of an error: 21 count up and 21 count down.
COINS = 42
#: Bytes of the coins: three for each half, whose last three bits are not used.
ERROR_BYTES = 6

#: Coefficients up to this size are reduced exactly inside the kernel; larger ones before it.
LARGEST_IN_KERNEL = 2.0**52


def centred_binomial(coins: NDArray[np.uint8]) -> Array:
    """(N,): errors from six bytes each, coins (6 N,): heads of 21 coins minus heads of 21 others.

    Their variance is 10.5. It is the distribution that SEAL samples (SEAL 4, `sample_poly_cbd`).
    """
    result = np.empty(len(coins) // ERROR_BYTES)
    count_heads(coins, result)
    return result


def fresh_errors(degree: int) -> Array:
    """(N,): errors of one ciphertext, from coins of the operating system."""
    return centred_binomial(np.frombuffer(os.urandom(degree * ERROR_BYTES), dtype=np.uint8))


class Encryptor:
    """Encrypts slots under one secret key, at one level. Only a client has one."""

    def __init__(self, ring: Ring, key: SecretKey, level: int) -> None:
        """Raises: BackendError for primes that are too large for the engine."""
        self._ring, self._level = ring, level
        degree, primes = ring.params.poly_modulus_degree, ring.params.data_primes[:level]
        self._degree, self._primes = degree, primes
        self._tables = make_tables(Params(poly_modulus_degree=degree, data_primes=primes, special_prime=None))
        self._order = engine_order(degree)
        self._secret = _secret_rows(ring, key, self._order, self._tables.primes)
        self._bits = np.array(ring.params.coeff_modulus_bits[:level])
        self._log2_modulus = ring.params.log2_modulus(level)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key cannot be pickled or copied; save it with write_keys")

    def encrypt(self, slots: NDArray[Any], scale: float) -> tuple[bytes, ...]:
        """The item of one seeded ciphertext per row of slots (ciphertexts, N / 2), real or complex.

        Raises: BackendError for values that the modulus cannot hold.
        """
        wanted = np.rint(coefficients(slots) * scale)
        largest, most = float(np.abs(wanted).max()), 2.0 ** (self._log2_modulus - 1)
        if not largest < most:
            raise BackendError(
                f"encrypt: a coefficient of {largest:.3g} where the modulus holds less than {most:.3g}; "
                "use inputs in the accepted range"
            )
        scratch = np.empty(self._degree + BLOCK_ROWS * self._tables.columns)
        return tuple(self._one(row, scratch) for row in wanted)

    def _one(self, message: Array, scratch: Array) -> bytes:
        """The item of a ciphertext of a plaintext with these coefficients (N,)."""
        seed = os.urandom(SEED_BYTES)
        result = bytearray(item_bytes(self._ring.params, self._level, seeded=True))
        HEAD.pack_into(result, 0, MAGIC, SEEDED_PARTS)
        result[HEAD.size : HEAD.size + SEED_BYTES] = seed
        packed = np.frombuffer(result, dtype="<u8", offset=HEAD.size + SEED_BYTES)
        rows = message[None]
        if np.abs(message).max() > LARGEST_IN_KERNEL:  # the remainder of a float is exact at any size
            rows = np.stack([np.fmod(message, prime) for prime in self._primes])
        state, errors = initial_state(seed, (0, 0, 0)), fresh_errors(self._degree)
        write_hidden(rows, errors, state, self._secret, self._order, self._bits, packed, scratch, self._tables)
        return bytes(result)


@inlined
def _heads(low: Any, middle: Any, high: Any) -> Any:
    """How many of 21 bits are set: eight, eight and the lower five of three bytes. Adds bits in pairs, then in fours,
    then the fours by a product."""
    bits = np.uint64(low) | np.uint64(middle) << np.uint64(8) | (np.uint64(high) & np.uint64(0x1F)) << np.uint64(16)
    bits -= (bits >> np.uint64(1)) & np.uint64(0x555555)
    bits = (bits & np.uint64(0x333333)) + ((bits >> np.uint64(2)) & np.uint64(0x333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F)
    return np.int64((bits * np.uint64(0x010101)) >> np.uint64(16) & np.uint64(0xFF))


@kernel
def count_heads(coins, result):  # type: ignore[no-untyped-def]
    """result (N,) = heads of the first three bytes minus heads of the last three, of every six of coins (6 N,)."""
    for place in range(len(result)):
        first = place * ERROR_BYTES
        up = _heads(coins[first], coins[first + 1], coins[first + 2])
        down = _heads(coins[first + 3], coins[first + 4], coins[first + 5])
        result[place] = up - down


@kernel
def write_hidden(rows, errors, state, secret, order, bits, packed, scratch, t):  # type: ignore[no-untyped-def]
    """packed (words,) = m + e - a s modulo every prime, in SEAL's order, as bits.

    rows (1 or level, N): coefficients of m, at most LARGEST_IN_KERNEL in size. errors (N,): coefficients of e, which
    are added to remainders, where no rounding can lose them. state (16,): of the stream of a. secret (level, N): s,
    centred, in the engine's order. order: SEAL's index of each place of the engine. bits (level,): of every prime.
    scratch: a row, and a block of rows.
    """
    level, degree = secret.shape
    row, uniform, hidden = scratch[:degree], np.empty(degree), np.empty(degree)
    words, start = np.empty(degree, dtype=np.uint64), 0
    for which in range(level):
        prime, inverse = t.primes[which], t.inverses[which]
        half, source = prime / 2, rows[min(which, len(rows) - 1)]
        for place in range(degree):
            row[place] = reduced(source[place], prime, inverse) + errors[place]
        forward(row, scratch[degree:], which, t)
        set_nonce(state, UNIFORM_DOMAIN, which, 0)
        uniform_row(state, prime, bits[which], words, uniform)
        s = secret[which]
        for place in range(degree):
            factor = uniform[order[place]]
            centred = factor - prime if factor > half else factor
            value = reduced(row[place] - times(centred, s[place], prime, inverse), prime, inverse)
            hidden[order[place]] = value + prime if value < 0 else value
        size = degree * bits[which] // 64
        pack_row(hidden, bits[which], packed[start : start + size])
        start += size


def _secret_rows(ring: Ring, key: SecretKey, order: NDArray[np.int64], primes: Array) -> Array:
    """(primes, N): the secret key's residues modulo the first primes, centred, in the engine's order."""
    params = ring.params
    words = key_words(to_bytes(key.native(ring)), len(params.seal_primes), params.poly_modulus_degree)
    rows = np.empty((len(primes), len(order)))
    centre(words[: len(primes)], order, primes, rows)
    return rows
