"""Decrypts blocks of answers: ciphertexts of any number of parts, modulo one or several primes, to slots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compress.errors import AnswerRangeError, FormatError
from secure.bundle.batch_specs import BatchClientSpec
from secure.encoding import complex_slots, real_slots
from secure.engine.tables import Tables
from secure.parties.container import Buffer
from secure.streams.frames import FrameHead
from secure.streams.keys import SecretRows
from secure.streams.opening import combine, open_block
from secure.streams.phases import turned_back

Array = NDArray[np.float64]

#: In how many standard deviations of an answer's coefficients the modulus must end. Beyond 7, one of 2^16 wraps around
#: with a probability of 3e-6 at most.
LEAST_SIGMAS = 7.0


class BlockDecryptor:
    """Decrypts blocks under one secret key. Only a client has one."""

    def __init__(self, spec: BatchClientSpec, secret: SecretRows, tables: Tables) -> None:
        """tables: of the parameters."""
        self._spec, self._secret, self._tables = spec, secret, tables

    def decrypt(self, items: Sequence[Buffer], head: FrameHead, name: str) -> Array:
        """(images, outputs): the answers of a block, from packed parts by prime.

        Raises: FormatError for a residue that is not below its prime; AnswerRangeError for the answers of a plan with
        phases that are about to leave the modulus.
        """
        found = self.coefficients(items, name)
        if self._spec.units:
            self._check_room(found, name)
            rows = turned_back(self._spec, complex_slots(found)[:, : head.images], head)
        else:
            rows = real_slots(found)[:, : head.images]
        return np.ascontiguousarray(rows.T) / self._spec.output_scales

    def _check_room(self, coefficients: Array, name: str) -> None:
        """Refuse answers that may have wrapped around. Raises: AnswerRangeError.

        Coefficients of random phases have one variance, so a few thousand of them tell it. Coefficients that wrapped
        around are spread over the whole modulus.
        """
        largest = 2.0 ** (self._spec.params.log2_modulus(self._spec.params.levels) - 1)
        used = float(np.sqrt(np.mean((coefficients / largest) ** 2, axis=1)).max())
        if used > 1 / LEAST_SIGMAS:
            raise AnswerRangeError(
                f"{name}: the root mean square of an answer's coefficients is {used:.2f} of what the modulus holds, "
                f"and only up to {1 / LEAST_SIGMAS:.2f} are sure to be right; the images are unlike those that the "
                "bundle was compiled with, or the reply is altered"
            )

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
