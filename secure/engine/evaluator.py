"""The engine's evaluator: a Plan on residues of our own, with SEAL's keys. Rotations of one value share its digits; switched
values stay undivided ("extended") while they are only added up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.encoding import coefficients
from secure.engine import arithmetic
from secure.engine.residues import residues_of, seal_bytes
from secure.engine.tables import engine_order, make_tables, rotation_order
from secure.evaluate import walk
from secure.plan import KeyManifest, Op, Plan, op_element
from secure.seal_context import RESIDUE_BYTES, Ring
from secure.tenseal_evaluator import EvaluationKeys

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]


@dataclass(eq=False)
class Residues:
    """A ciphertext in the engine: reduced (parts, level, N); or extended (2, level + 1, N) and still to be divided by P; or
    a sum of products with constants, by their index, that nobody has asked for yet.

    Exactly one of the three is set at first; asking for the plain form computes it once. digits: of part 1.
    """

    plain: Array | None = None
    extended: Array | None = None
    products: tuple[tuple[Residues, int], ...] = ()
    digits: Array | None = None


class EngineRing:
    """A parameter set's tables and orders; shared by all clients of a server."""

    def __init__(self, ring: Ring) -> None:
        """Raises: BackendError for primes the engine cannot hold."""
        self.ring = ring
        self.tables = make_tables(ring.params)
        self.degree = ring.params.poly_modulus_degree
        self.order = engine_order(self.degree)
        self.places = np.argsort(self.order)
        self._rotations: dict[int, NDArray[np.int32]] = {}

    def rotation(self, element: int) -> NDArray[np.int32]:
        """The order of a Galois element, kept."""
        if element not in self._rotations:
            self._rotations[element] = rotation_order(element, self.degree)
        return self._rotations[element]

    def load(self, native: Any, count: int) -> Array:
        """Residues of a SEAL ciphertext over the first `count` primes."""
        return residues_of(native, self.tables.primes[:count], self.order)

    def encode(self, slots: NDArray[Any], level: int, scale: float) -> Array:
        """(level, N): a plaintext of real or complex slots, in the engine's order.

        Numbers beyond 2^53 keep float64's precision, as in SEAL's encoder; float remainders are exact.
        """
        wanted = np.rint(coefficients(slots) * scale)
        rows = np.stack([np.fmod(wanted, prime) for prime in self.tables.primes[:level]])
        arithmetic.transformed(rows, self.tables)
        return rows


class EngineKeys:
    """One client's evaluation keys, as residues; a rotation's key is stored before the rotation, which then moves the sum only."""

    def __init__(self, ring: EngineRing, keys: Any, manifest: KeyManifest) -> None:
        count = len(ring.ring.params.all_primes)
        self.relin = _key_rows(ring, keys.relin.key(2), count) if manifest.relinearize else None
        self.galois: dict[int, Array] = {}
        for element in manifest.galois_elements:
            rows = _key_rows(ring, keys.galois.key(element), count)
            back = np.argsort(ring.rotation(element))
            self.galois[element] = np.ascontiguousarray(rows[..., back])


def _key_rows(ring: EngineRing, digits: Sequence[Any], count: int) -> Array:
    """(levels, 2, primes, N)."""
    return np.stack([ring.load(digit.data(), count) for digit in digits])


class EngineConstants:
    """A plan's plaintexts by index, encoded when the server starts: the first that fit `cache_bytes`, the others at every use."""

    def __init__(self, ring: EngineRing, plan: Plan, cache_bytes: int, progress: Progress | None = None) -> None:
        self._ring, self._plan = ring, plan
        self._kept: list[Array] = []
        room = cache_bytes
        for index, constant in enumerate(plan.constants):
            room -= constant.level * ring.degree * RESIDUE_BYTES
            if room < 0:
                break
            self._kept.append(self._encoded(index))
            if progress is not None:
                progress("encode the weights", (index + 1) / len(plan.constants))

    def __getitem__(self, index: int) -> Array:
        return self._kept[index] if index < len(self._kept) else self._encoded(index)

    def _encoded(self, index: int) -> Array:
        constant = self._plan.constants[index]
        return self._ring.encode(constant.slots, constant.level, constant.scale)


class EngineEvaluator:
    """Runs plans of one bundle for the keys it is given."""

    def __init__(self, ring: EngineRing, constants: EngineConstants, keys: EngineKeys) -> None:
        self._ring = ring
        self._t = ring.tables
        self._constants = constants
        self._keys = keys

    def rotate(self, value: Residues, op: Op) -> Residues:
        element = op_element(op, self._ring.degree)
        if value.products:
            self.plain(value)
        if value.digits is None:
            value.digits = arithmetic.digits_of(self._second_part(value), self._t)
        total = arithmetic.switched(value.digits, self._keys.galois[element], self._t)
        if value.plain is None:
            # P times the first part is what the sum already holds: dividing it would cost transforms and add rounding
            assert value.extended is not None
            total[:1] = arithmetic.added(total[:1], value.extended[:1], True, self._t)
        else:
            arithmetic.add_extended_part(total, value.plain, 1, self._t)
        return Residues(extended=arithmetic.permuted(total, self._ring.rotation(element)))

    def conjugate(self, value: Residues, op: Op) -> Residues:
        return self.rotate(value, op)

    def relinearize(self, value: Residues, op: Op) -> Residues:
        plain = self.plain(value)
        assert self._keys.relin is not None  # the plan's manifest asked for it
        total = arithmetic.switched(arithmetic.digits_of(plain[2], self._t), self._keys.relin, self._t)
        arithmetic.add_extended_part(total, plain, 2, self._t)
        return Residues(extended=total)

    def add(self, left: Residues, right: Residues, op: Op) -> Residues:
        if left.products and right.products:
            return Residues(products=left.products + right.products)
        for value in (left, right):
            if value.products:
                self.plain(value)
        if left.plain is not None and right.plain is not None:
            return Residues(plain=arithmetic.added(left.plain, right.plain, False, self._t))
        if left.extended is not None and right.extended is not None and left.plain is None and right.plain is None:
            return Residues(extended=arithmetic.added(left.extended, right.extended, True, self._t))
        switched, other = (left, right) if left.plain is None else (right, left)
        assert switched.extended is not None and other.plain is not None
        total = switched.extended.copy()
        arithmetic.add_extended_part(total, other.plain, 2, self._t)
        return Residues(extended=total)

    def add_plain(self, value: Residues, op: Op) -> Residues:
        constant = self._constants[op.constant][None]
        if value.plain is None and value.extended is not None:
            total = value.extended.copy()
            arithmetic.add_extended_part(total, constant, 1, self._t)
            return Residues(extended=total)
        plain = self.plain(value).copy()
        plain[:1] = arithmetic.added(plain[:1], constant, False, self._t)
        return Residues(plain=plain)

    def multiply_plain(self, value: Residues, op: Op) -> Residues:
        self.plain(value)
        return Residues(products=((value, op.constant),))

    def square(self, value: Residues, op: Op) -> Residues:
        return Residues(plain=arithmetic.squared(self.plain(value), self._t))

    def rescale(self, value: Residues, op: Op) -> Residues:
        return Residues(plain=arithmetic.divided(self.plain(value), False, self._t))

    def drop(self, value: Residues, op: Op) -> Residues:
        return Residues(plain=np.ascontiguousarray(self.plain(value)[:, :-1]))

    def plain(self, value: Residues) -> Array:
        """The value divided by P where it was not yet."""
        if value.plain is None:
            if value.products:
                value.plain = self._summed(value.products)
                value.products = ()
            else:
                assert value.extended is not None
                value.plain = arithmetic.divided(value.extended, True, self._t)
                value.extended = None
        return value.plain

    def _second_part(self, value: Residues) -> Array:
        """(level, N): the part that a rotation takes apart, divided; the first stays as it is."""
        if value.plain is not None:
            return value.plain[1]
        assert value.extended is not None
        return np.asarray(arithmetic.divided(value.extended[1:], True, self._t)[0])

    def _summed(self, products: tuple[tuple[Residues, int], ...]) -> Array:
        """One pass over a running total a product, instead of a new array for every product and every sum."""
        (first, constant), *others = products
        total = arithmetic.multiplied(self.plain(first), self._constants[constant], self._t)
        for count, (factor, constant) in enumerate(others, start=2):
            reduce = count % arithmetic.MAX_UNREDUCED == 0 or count == len(products)
            arithmetic.add_product(total, self.plain(factor), self._constants[constant], reduce, self._t)
        return total


class EngineBackend:
    """A plan made ready for the engine; values are Residues. Satisfies `secure.backends.Backend`."""

    def __init__(self, ring: Ring, plan: Plan, cache_bytes: int, progress: Progress | None) -> None:
        """Raises: BackendError for primes the engine cannot hold."""
        self._plan = plan
        self._ring = EngineRing(ring)
        self._constants = EngineConstants(self._ring, plan, cache_bytes, progress)

    def evaluator(self, keys: EvaluationKeys) -> EngineEvaluator:
        return EngineEvaluator(self._ring, self._constants, EngineKeys(self._ring, keys, self._plan.key_manifest))

    def load(self, native: Any) -> Residues:
        """From SEAL's ciphertext."""
        return Residues(plain=self._ring.load(native, native.coeff_modulus_size()))

    def run(self, evaluator: EngineEvaluator, inputs: Sequence[Residues]) -> list[Residues]:
        """The plan's outputs, divided.

        Raises: BackendError naming layer and operation.
        """
        return [Residues(plain=evaluator.plain(value)) for value in walk(self._plan, evaluator, inputs)]

    def save(self, value: Residues) -> bytes:
        """What SEAL would save for it."""
        assert value.plain is not None
        tables, parms_id = self._ring.tables, self._ring.ring.parms_ids[value.plain.shape[1]]
        return seal_bytes(value.plain, tables.primes, self._ring.places, parms_id)
