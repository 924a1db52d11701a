"""What the engine keeps of a parameter set and of a client's keys: tables, orders, residues."""

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
    """A parameter set's tables and orders; shared by all clients of a server."""

    def __init__(self, ring: Ring) -> None:
        """Raises: BackendError for primes the engine cannot hold."""
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
        """The order of a Galois element, kept."""
        if element not in self._rotations:  # of two clients that register at the same time, both get the first one's
            return self._rotations.setdefault(element, rotation_order(element, self.degree))
        return self._rotations[element]

    def moduli(self, level: int, extended: bool) -> Array:
        """(rows, 2): prime and inverse of every row of a value, kept; the row of P is the last of an extended one."""
        if (level, extended) not in self._moduli:
            rows = [*range(level), len(self.tables.primes) - 1] if extended else list(range(level))
            made = np.stack([self.tables.primes[rows], self.tables.inverses[rows]], axis=1)
            return self._moduli.setdefault((level, extended), made)
        return self._moduli[level, extended]

    def load(self, native: Any, count: int) -> Array:
        """Residues of a SEAL ciphertext over the first `count` primes."""
        return residues_of(native, self.tables.primes[:count], self.order)

    def encode(self, slots: NDArray[Any], level: int, scale: float, extended: bool) -> Array:
        """(level, N), or (level + 1, N) with that of P if extended: a plaintext of real or complex slots, in the engine's order.

        Numbers beyond 2^53 keep float64's precision, as in SEAL's encoder; float remainders are exact.
        """
        wanted = np.rint(coefficients(slots) * scale)
        rows = np.stack([np.fmod(wanted, prime) for prime in self.moduli(level, extended)[:, 0]])
        arithmetic.transformed(rows, extended, self.tables)
        return rows


class EngineKeys:
    """One client's evaluation keys, as residues; a rotation's key is stored before the rotation, which then moves the sum only."""

    def __init__(self, ring: EngineRing, keys: Any, manifest: KeyManifest) -> None:
        arena = Arena()
        self.relin = arena.copy(key_rows(ring, keys.relin.key(2))) if manifest.relinearize else None
        self.galois: dict[int, Array] = {}
        for element in manifest.galois_elements:
            rows = key_rows(ring, keys.galois.key(element))
            back = np.argsort(ring.rotation(element))
            self.galois[element] = arena.copy(rows[..., back])


def key_rows(ring: EngineRing, digits: Sequence[Any]) -> Array:
    """(levels, 2, primes, N).

    Raises: BackendError for a key of other digits than the parameters have.
    """
    count = len(ring.ring.params.all_primes)
    rows = np.stack([ring.load(digit.data(), count) for digit in digits])
    shape = (count - 1, 2, count, ring.degree)
    if rows.shape != shape:  # kernels trust in it
        raise BackendError(f"evaluation key: its digits are {rows.shape}, the parameters take {shape}; make keys again")
    return rows
