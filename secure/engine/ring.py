"""What the engine keeps: the tables of a parameter set, and the evaluation keys of a client as residues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import BackendError
from secure.encoding import coefficients
from secure.engine import arithmetic
from secure.engine.bases import make_bases
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
        self.tables, self.bases = make_tables(ring.params), make_bases(ring.params)
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
        """(rows, 2): prime and inverse of every row of a value. The special primes come last if it is extended. Kept
        once computed."""
        if (level, extended) not in self._moduli:
            rows = [*range(level), *range(self.bases.levels, len(self.tables.primes))] if extended else [*range(level)]
            made = np.stack([self.tables.primes[rows], self.tables.inverses[rows]], axis=1)
            return self._moduli.setdefault((level, extended), made)
        return self._moduli[level, extended]

    def load(self, native: Any, count: int) -> Array:
        """Residues of a SEAL ciphertext over the first `count` primes."""
        return residues_of(native, self.tables.primes[:count], self.order)

    def encode(self, slots: NDArray[Any], level: int, scale: float, extended: bool) -> Array:
        """A plaintext of real or complex slots as residues in the engine's order: (level, N), or (level + specials, N)
        if extended.

        Numbers above 2^53 have float64's precision, as in SEAL's encoder. Float remainders are exact.
        """
        wanted = np.rint(coefficients(slots) * scale)
        rows = np.stack([np.fmod(wanted, prime) for prime in self.moduli(level, extended)[:, 0]])
        arithmetic.transformed(rows, self.bases.specials * extended, self.tables)
        return rows


class EngineKeys:
    """One client's evaluation keys as residues, each cut to the highest level at which the plan uses it.

    The key of a rotation is stored in the order from before the rotation, so that one reordering of the sum is enough.
    """

    def __init__(self, ring: EngineRing, keys: Any, manifest: KeyManifest) -> None:
        """keys: gives each key once, first that for relinearization, the others in ascending order. manifest: of the
        plan, with levels."""
        arena = Arena()
        relin_level = manifest.relin_level
        self.relin = arena.copy(key_rows(ring, keys.relin.key(2), relin_level)) if manifest.relinearize else None
        self.galois: dict[int, Array] = {}
        for element, level in zip(manifest.galois_elements, manifest.galois_levels, strict=True):
            back = np.argsort(ring.rotation(element))
            self.galois[element] = _reordered(key_rows(ring, keys.galois.key(element), level), back, arena)


def _reordered(rows: Array, order: NDArray[np.int64], arena: Arena) -> Array:
    # "clip": to raise an error for a place outside, which an order has none of, numpy would copy the result once more
    return np.take(rows, order, axis=-1, out=arena.empty(*rows.shape), mode="clip")


def key_rows(ring: EngineRing, digits: Sequence[Any] | Array, level: int) -> Array:
    """The residues of one evaluation key for values of this level: (digits, 2, level + specials, N).

    digits: SEAL's digits, or residues (digits, 2, rows, N). Both may be those of a key for a higher level.
    Raises: BackendError for a key whose digits do not fit the parameters.
    """
    params, specials = ring.ring.params, ring.bases.specials
    if isinstance(digits, np.ndarray):
        rows = digits
    else:
        rows = np.stack([ring.load(digit.data(), len(params.seal_primes)) for digit in digits])
    count, held = len(params.digits_at(level)), rows.shape[2] - specials if rows.ndim == 4 else 0
    if not level <= held <= params.levels or rows.shape != (
        len(params.digits_at(held)), 2, held + specials, ring.degree,
    ):  # fmt: skip  # kernels do not check it
        raise BackendError(
            f"evaluation key: its digits are {rows.shape}, a key for level {level} has "
            f"{(count, 2, level + specials, ring.degree)}; make keys again"
        )
    if held == level:
        return rows
    return np.concatenate([rows[:count, :, :level], rows[:count, :, held:]], axis=2)
