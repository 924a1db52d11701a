"""Decrypts blocks of answers: ciphertexts of any number of parts, modulo one or several primes, to slots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compress.errors import FormatError
from secure.bundle.batch_specs import BatchClientSpec
from secure.encoding import real_slots
from secure.engine.tables import Tables
from secure.parties.container import Buffer
from secure.streams.keys import SecretRows
from secure.streams.opening import combine, open_block

Array = NDArray[np.float64]


class BlockDecryptor:
    """Decrypts blocks under one secret key. Only a client has one."""

    def __init__(self, spec: BatchClientSpec, secret: SecretRows, tables: Tables) -> None:
        """tables: of the parameters."""
        self._spec, self._secret, self._tables = spec, secret, tables

    def decrypt(self, items: Sequence[Buffer], images: int, name: str) -> Array:
        """(images, outputs): the answers of a block, from packed parts by prime.

        Raises: FormatError for a residue that is not below its prime.
        """
        rows = real_slots(self.coefficients(items, name))[:, :images]
        return np.ascontiguousarray(rows.T) / self._spec.output_scales

    def coefficients(self, items: Sequence[Buffer], name: str) -> Array:
        """(outputs, N): what the ciphertexts hold, centred modulo the product of all primes, as the nearest float64.

        Raises: FormatError for a residue that is not below its prime.
        """
        params = self._spec.params
        outputs, degree = len(self._spec.output_scales), params.poly_modulus_degree
        rows = np.empty((params.levels, outputs, degree))
        for which, (item, prime) in enumerate(zip(items, params.data_primes, strict=True)):
            bits = prime.bit_length()
            packed = np.require(np.frombuffer(item, dtype=np.uint64), requirements="A")
            packed = packed.reshape(outputs, self._spec.reply_parts, -1)
            if not open_block(packed, which, self._secret.values, bits, rows[which], self._tables):
                raise FormatError(f"{name}: a residue is not below its prime; the file is altered")
        combine(rows.reshape(params.levels, -1), self._tables)
        return rows[0]
