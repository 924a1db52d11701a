"""The residues of a throughput bundle's secret key, SEAL's ternary secret modulo the plan's primes."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from compress.errors import InsecureParametersError
from secure.params import Params
from secure.parties.keys import SecretKey
from secure.seal.context import Ring, make_ring, to_bytes
from secure.seal.saved import key_words

Array = NDArray[np.float64]


def key_ring(params: Params) -> Ring:
    """SEAL's context in which the secret key of these parameters lives.

    SEAL keeps the last of several primes for key switching. Here nothing is switched, so the last data prime takes that
    place: the key has the same residues, and the modulus is the same.
    Raises: InsecureParametersError, BackendError.
    """
    if params.special_prime is not None:
        raise InsecureParametersError("special_prime: a throughput bundle has none, since it switches no keys")
    if params.levels > 1:
        primes = params.data_primes
        params = replace(params, data_primes=primes[:-1], special_prime=primes[-1])
    return make_ring(params)


class SecretRows:
    """A secret key's residues, (primes, N), centred, in SEAL's order. They are not printed, pickled or copied."""

    __slots__ = ("values",)

    values: Array

    def __init__(self, params: Params, key: SecretKey) -> None:
        """Raises: InsecureParametersError; FormatError for the key of other parameters."""
        ring = key_ring(params)
        primes = params.data_primes
        words = key_words(to_bytes(key.native(ring)), len(primes), params.poly_modulus_degree)
        self.values = words.astype(np.float64)
        for row, prime in zip(self.values, primes, strict=True):
            row[row > prime // 2] -= prime

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key cannot be pickled or copied; save it with write_keys")
