"""Encrypts blocks of images: a coefficient encoder for all features together, and seeded symmetric encryption.

A ciphertext of a feature m is (m + e - a s, a). s is SEAL's secret key. a is expanded from a seed of 32 bytes, which
is sent in its place. e has SEAL's distribution, from a key of 32 other bytes, which nobody gets. Both are fresh bytes
of the operating system for every block.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from compress.errors import BackendError
from secure.bundle.batch_specs import BatchClientSpec
from secure.encoding import real_coefficients
from secure.engine.tables import make_tables
from secure.streams.chacha import KEY_BYTES, initial_state
from secure.streams.keys import SecretRows
from secure.streams.sealing import seal

Array = NDArray[np.float64]

#: Coefficients up to this size are exact whole numbers, and reduced exactly.
LARGEST_COEFFICIENT = 2.0**52


class BlockEncryptor:
    """Encrypts blocks under one secret key. Only a client has one."""

    def __init__(self, spec: BatchClientSpec, secret: SecretRows) -> None:
        """Raises: BackendError for primes that are too large for the engine."""
        self._spec, self._secret = spec, secret
        self._tables = make_tables(spec.params)
        self._most = min(LARGEST_COEFFICIENT, 2.0 ** (spec.params.log2_modulus(spec.params.levels) - 1))

    def encrypt(self, images: Array) -> tuple[bytes, tuple[bytes, ...]]:
        """(seed, packed first parts by prime) of a block of images (images, features), one per slot.

        Raises: BackendError for values that the modulus cannot hold.
        """
        spec, dropped = self._spec, self._spec.upload_bits_dropped
        halves = self._encoded(images)
        seed = os.urandom(KEY_BYTES)
        keys = np.stack([initial_state(key, (0, 0, 0)) for key in (seed, os.urandom(KEY_BYTES))])
        items = []
        for which, prime in enumerate(spec.params.data_primes):
            bits = prime.bit_length() - dropped
            packed = np.empty((len(halves), spec.params.poly_modulus_degree * bits // 64), dtype=np.uint64)
            seal(halves, 0, which, keys, self._secret.values, bits, dropped, packed, self._tables)
            items.append(packed.tobytes())
        return seed, tuple(items)

    def _encoded(self, images: Array) -> Array:
        """(features, N / 2): the first half of each feature's coefficients, whole numbers."""
        slots = np.zeros((images.shape[1], self._spec.params.slots))
        slots[:, : len(images)] = images.T
        halves = np.rint(real_coefficients(slots) * self._spec.input_scale)
        largest = float(np.abs(halves).max())
        if not largest < self._most:
            raise BackendError(
                f"encrypt: a coefficient of {largest:.3g} where the modulus holds less than {self._most:.3g}; "
                "use inputs in the accepted range"
            )
        return halves
