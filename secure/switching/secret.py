"""The secret key modulo every prime, from SEAL's: also modulo the special primes that SEAL does not know."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from compress.errors import FormatError
from secure.engine.tables import Tables, engine_order
from secure.engine.transform import backward, forward
from secure.params import Params
from secure.seal.saved import key_words
from secure.seeded.reading import centre

Array = NDArray[np.float64]


class SecretRows:
    """A secret key's residues, (primes, N), centred, in the engine's order. They are not printed, pickled or copied,
    and `wipe` overwrites them."""

    __slots__ = ("values",)

    values: Array

    def __init__(self, params: Params, tables: Tables, content: bytes) -> None:
        """content: SEAL's bytes of the key. tables: of the parameters.

        Raises: FormatError for bytes of another key.
        """
        degree, known, primes = params.poly_modulus_degree, len(params.seal_primes), len(params.all_primes)
        self.values = np.empty((primes, degree))
        words = key_words(content, known, degree)
        if not centre(words, engine_order(degree), tables.primes[:known], self.values[:known]):
            raise FormatError("secret key: a residue is not below its prime; make new keys with keygen")
        if primes == known:
            return
        ternary, scratch = self.values[0].copy(), np.empty(degree)
        backward(ternary, scratch, 0, tables)
        if np.abs(ternary).max() > 1:
            raise FormatError("secret key: it is not ternary; make new keys with keygen")
        for row in range(known, primes):
            self.values[row] = ternary
            forward(self.values[row], scratch, row, tables)
        ternary.fill(0)
        scratch.fill(0)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key cannot be pickled or copied; save it with write_keys")

    def wipe(self) -> None:
        """Overwrite the residues."""
        self.values.fill(0)
