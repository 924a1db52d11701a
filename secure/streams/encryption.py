"""Encrypts blocks of images, seeded and symmetric.

A ciphertext of a feature m is (m + e - a s, a). s is SEAL's secret key. a is expanded from a seed of 32 bytes, which
is sent in its place. e has SEAL's distribution, from a key of 32 other bytes, which nobody gets. Both are fresh bytes
of the operating system for every block.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from compress.errors import BackendError
from secure.bundle.batch_specs import BatchClientSpec
from secure.draws.bits import row_words
from secure.draws.chacha import KEY_BYTES, initial_state
from secure.engine.tables import Tables
from secure.engine.vectors import LANES
from secure.streams.encoder import cosine_tables
from secure.streams.keys import SecretRows
from secure.streams.sealing import seal

Array = NDArray[np.float64]
Words = NDArray[np.uint64]

#: Coefficients up to this size are exact whole numbers, and reduced exactly.
LARGEST_COEFFICIENT = 2.0**52


class BlockEncryptor:
    """Encrypts blocks under one secret key. Only a client has one."""

    def __init__(self, spec: BatchClientSpec, secret: SecretRows, tables: Tables, threads: int) -> None:
        """tables: of the parameters. threads: share the features of a block.

        Raises: BackendError for inputs that the modulus cannot hold.
        """
        params, dropped = spec.params, spec.upload_bits_dropped
        most = min(LARGEST_COEFFICIENT, 2.0 ** (params.log2_modulus(params.levels) - 1))
        # a coefficient is a mean of slots, each times a cosine and, of complex ones, a sine
        largest = float(np.maximum(np.abs(spec.input_low), np.abs(spec.input_high)).max())
        largest = 2 * max(largest, *spec.units) * spec.input_scale if spec.units else largest * spec.input_scale
        if not largest < most:
            raise BackendError(
                f"input_scale: inputs are encoded as up to {largest:.3g}, and the modulus holds less than {most:.3g}; "
                "the bundle is altered, or was compiled for other parameters"
            )
        self._secret, self._scale = secret, spec.input_scale
        self._tables, self._cosines = tables, cosine_tables(params.poly_modulus_degree)
        self._widths = [(prime.bit_length() - dropped, dropped) for prime in params.data_primes]
        self._features, self._degree = spec.inputs, params.poly_modulus_degree
        # several shares per thread, so that none waits long for the last one; whole groups of the encoder
        self._share = self._features if threads == 1 else -(-self._features // (4 * threads * LANES)) * LANES
        self._pool = ThreadPoolExecutor(threads, "cipherpress-features") if threads > 1 else None

    def buffers(self) -> list[Words]:
        """(features, words) for the packed first parts of one block, by prime."""
        return [np.empty((self._features, row_words(self._degree, bits)), dtype=np.uint64) for bits, _ in self._widths]

    def encrypt(self, images: Array, packed: list[Words]) -> bytes:
        """Fill `packed` from the planes of a block (`secure.streams.phases`), and return the seed."""
        seed = os.urandom(KEY_BYTES)
        keys = np.stack([initial_state(key, (0, 0, 0)) for key in (seed, os.urandom(KEY_BYTES))])

        def share(first: int) -> None:
            for which, (widths, rows) in enumerate(zip(self._widths, packed, strict=True)):
                some = rows[first : first + self._share]
                where = images, first, self._scale, which
                seal(*where, keys, self._secret.values, widths, some, self._tables, self._cosines)

        shares = range(0, self._features, self._share)
        if self._pool is None:
            for first in shares:
                share(first)
        else:
            list(self._pool.map(share, shares))
        return seed
