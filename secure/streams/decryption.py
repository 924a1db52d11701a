"""Decrypts blocks of answers: ciphertexts of any number of parts, modulo one or several primes, to slots."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from compress.errors import AnswerRangeError, FormatError
from secure.bundle.batch_specs import BatchClientSpec
from secure.encoding import real_slots
from secure.engine.tables import Tables
from secure.parties.container import Buffer
from secure.streams.frames import FrameHead
from secure.streams.keys import SecretRows
from secure.streams.opening import combine, open_block
from secure.streams.phases import answer_turns
from secure.streams.unwrapping import unwrapped

Array = NDArray[np.float64]


class BlockDecryptor:
    """Decrypts blocks under one secret key. Only a client has one."""

    def __init__(self, spec: BatchClientSpec, secret: SecretRows, tables: Tables) -> None:
        """tables: of the parameters."""
        self._spec, self._secret, self._tables = spec, secret, tables

    def decrypt(self, items: Sequence[Buffer], head: FrameHead, name: str) -> Array:
        """(images, outputs): the answers of a block, from packed parts by prime.

        Raises: FormatError for a residue that is not below its prime; AnswerRangeError for the answers of a plan with
        phases of which too many coefficients left the modulus.
        """
        found = self.coefficients(items, name)
        if self._spec.units:
            rows = self._unwrapped(found, head, name)[:, : head.images]
        else:
            rows = real_slots(found)[:, : head.images]
        return np.ascontiguousarray(rows.T) / self._spec.output_scales

    def _unwrapped(self, coefficients: Array, head: FrameHead, name: str) -> Array:
        """(outputs, N / 2): the answers of a plan with phases. Raises: AnswerRangeError."""
        primes = self._spec.params.data_primes
        found = unwrapped(coefficients, answer_turns(self._spec, head), float(prod(primes)))
        if found is None:
            raise AnswerRangeError(
                f"{name}: the answers of this block are so large that too many of their coefficients left the modulus "
                "to be put right; the images are unlike those that the bundle was compiled with, or the reply is "
                "altered; send them in a block with others, or compile with calibration images like them"
            )
        return found

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
