"""What the engine keeps: the tables of a parameter set, and the evaluation keys of a client as residues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import BackendError
from secure.encoding import coefficients
from secure.engine import arithmetic
from secure.engine.buffers import Arena
from secure.engine.residues import residues_of
from secure.engine.tables import engine_order, make_tables, rotation_order
from secure.plan import KeyManifest
from secure.seal.context import Ring

Array = NDArray[np.float64]


class EngineRing:
    """Tables and orders of a parameter set, shared by all clients of a server."""

    def __init__(self, ring: Ring) -> None:
        """Raises: BackendError for primes that are too large for the engine."""
        self.ring = ring
        self.tables = make_tables(ring.params)
        self.degree = ring.params.poly_modulus_degree
        self.order = engine_order(self.degree)
        self.places = np.argsort(self.order)
        self.ones = np.ones(len(self.tables.primes))
        self.unmoved = np.arange(self.degree, dtype=np.uint32)
        self._rotations: dict[int, NDArray[np.uint32]] = {}
        self._moduli: dict[tuple[int, bool], Array] = {}

    def rotation(self, element: int) -> NDArray[np.uint32]:
        """The order of residues under a Galois element. Kept once it was computed."""
        if element not in self._rotations:  # two clients that register at the same time get the same array
            return self._rotations.setdefault(element, rotation_order(element, self.degree))
        return self._rotations[element]

    def moduli(self, level: int, extended: bool) -> Array:
        """(rows, 2): prime and inverse of every row of a value; P comes last if it is extended. Kept once computed."""
        if (level, extended) not in self._moduli:
            rows = [*range(level), len(self.tables.primes) - 1] if extended else list(range(level))
            made = np.stack([self.tables.primes[rows], self.tables.inverses[rows]], axis=1)
            return self._moduli.setdefault((level, extended), made)
        return self._moduli[level, extended]

    def load(self, native: Any, count: int) -> Array:
        """Residues of a SEAL ciphertext over the first `count` primes."""
        return residues_of(native, self.tables.primes[:count], self.order)

    def encode(self, slots: NDArray[Any], level: int, scale: float, extended: bool) -> Array:
        """A plaintext of real or complex slots as residues in the engine's order: (level, N), or (level + 1, N) if
        extended.

        Numbers above 2^53 have float64's precision, as in SEAL's encoder. Float remainders are exact.
        """
        wanted = np.rint(coefficients(slots) * scale)
        rows = np.stack([np.fmod(wanted, prime) for prime in self.moduli(level, extended)[:, 0]])
        arithmetic.transformed(rows, extended, self.tables)
        return rows


class EngineKeys:
    """One client's evaluation keys as residues.

    The key of a rotation is stored in the order from before the rotation, so that one reordering of the sum is enough.
    """

    def __init__(self, ring: EngineRing, keys: Any, manifest: KeyManifest) -> None:
        arena = Arena()
        self.relin = arena.copy(key_rows(ring, keys.relin.key(2))) if manifest.relinearize else None
        self.galois: dict[int, Array] = {}
        for element in manifest.galois_elements:
            rows = key_rows(ring, keys.galois.key(element))
            back = np.argsort(ring.rotation(element))
            self.galois[element] = arena.copy(rows[..., back])


def key_rows(ring: EngineRing, digits: Sequence[Any] | Array) -> Array:
    """The residues of one evaluation key, (levels, 2, primes, N): of SEAL's digits, or as they are.

    Raises: BackendError for a key whose digits do not fit the parameters.
    """
    count = len(ring.ring.params.all_primes)
    if isinstance(digits, np.ndarray):
        rows = digits
    else:
        rows = np.stack([ring.load(digit.data(), count) for digit in digits])
    shape = (count - 1, 2, count, ring.degree)
    if rows.shape != shape:  # kernels do not check it
        raise BackendError(f"evaluation key: its digits are {rows.shape}, the parameters take {shape}; make keys again")
    return rows
