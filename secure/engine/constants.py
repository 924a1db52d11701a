"""A plan's constants, encoded as residues in the forms that its sums need, and stored in as much memory as there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress
from secure.encoding import real_coefficients
from secure.engine import arithmetic
from secure.engine.buffers import LARGE_PIECE_BYTES, Arena
from secure.engine.ring import EngineRing
from secure.engine.schedule import Form, Schedule
from secure.engine.storages import (
    LARGEST_SMALL,
    Storage,
    constant_primes,
    has_compact,
    packed_rows,
    storage_bytes,
)
from secure.engine.vectors import LANES
from secure.plan import Plan
from secure.seal.context import RESIDUE_BYTES

Array = NDArray[np.float64]
Key = tuple[int, Form]


@dataclass(frozen=True, eq=False)
class Held:
    """A constant in memory: its bytes, as `storage` says."""

    array: NDArray[Any]
    storage: Storage


class EngineConstants:
    """The encoded constants of a plan, in `cache_bytes` of memory.

    All are stored whole where they fit. Where they do not, those of real slots are stored as small coefficients, and as
    many of them as fit are stored as packed residues instead, in the order of their first use. Constants of another
    kind are stored whole while there is room. What does not fit at all is encoded again at every use.
    """

    def __init__(
        self, ring: EngineRing, plan: Plan, schedule: Schedule, cache_bytes: int, progress: Progress | None = None
    ) -> None:
        self._ring, self._plan = ring, plan
        self._kept: dict[Key, Held] = {}
        self._arena, self._smalls, self._room = Arena(LARGE_PIECE_BYTES), Arena(), cache_bytes
        steps = _Steps(progress, len(schedule.constants))
        whole = sum(self._bytes(key, Storage.WHOLE) for key in schedule.constants)
        if whole <= cache_bytes or not has_compact(ring.degree):
            for key in schedule.constants:
                steps.done()
                if not self._keep_whole(key):
                    return
        else:
            self._keep_compact(schedule, steps)

    @property
    def bytes_by_storage(self) -> dict[Storage, int]:
        """Memory of the constants that are kept, by how they are stored."""
        result = dict.fromkeys(Storage, 0)
        for held in self._kept.values():
            result[held.storage] += held.array.nbytes
        return result

    def kept(self, index: int, form: Form) -> Held | None:
        """A constant that was kept; None if there was no room for it."""
        return self._kept.get((index, form))

    def encoded(self, index: int, form: Form) -> Array:
        """Encode a constant: residues (level, N), or (level + specials, N) if the form is extended.

        Raises: what numpy raises for slots of the wrong length; MemoryError.
        """
        constant, ring = self._plan.constants[index], self._ring
        rows = ring.encode(constant.slots, constant.level, constant.scale, form is Form.EXTENDED)
        if form is Form.LIFTED:
            arithmetic.scale(rows, ring.tables.special, ring.moduli(constant.level, False))
        return rows

    def _bytes(self, key: Key, storage: Storage) -> int:
        primes = constant_primes(self._plan.params, self._plan.constants[key[0]].level, key[1] is Form.EXTENDED)
        return storage_bytes(storage, primes, self._ring.degree)

    def _take(self, size: int) -> bool:
        """Whether there is room for so many bytes, which are then taken."""
        if size > self._room:
            return False
        self._room -= size
        return True

    def _keep_whole(self, key: Key) -> bool:
        if not self._take(self._bytes(key, Storage.WHOLE)):
            return False
        self._kept[key] = Held(self._arena.copy(self.encoded(*key)), Storage.WHOLE)
        return True

    def _keep_compact(self, schedule: Schedule, steps: _Steps) -> None:
        small: list[Key] = []
        others = [key for key in schedule.constants if key not in schedule.factors]  # summands: read whole
        for key in (key for key in schedule.constants if key in schedule.factors):
            if (coefficients := self._small(key)) is None:
                others.append(key)
                continue
            storage = Storage.SMALL_LIFTED if key[1] is Form.LIFTED else Storage.SMALL
            if self._take(self._bytes(key, storage)):
                self._kept[key] = Held(coefficients, storage)
                small.append(key)
            steps.done(0.5)
        for key in others:
            self._keep_whole(key)
            steps.done(0.5)
        for key in small:
            steps.done(0.5)
            before = self._kept[key].array
            if self._take(self._bytes(key, Storage.PACKED) - before.nbytes):
                self._kept[key] = Held(self._packed(key, before), Storage.PACKED)

    def _small(self, key: Key) -> NDArray[np.int16] | None:
        """The coefficients of a constant, (N / 2 + LANES,) with zeros at the end; None where they are too large, or the
        slots complex."""
        constant = self._plan.constants[key[0]]
        if np.iscomplexobj(constant.slots):
            return None
        wanted = np.rint(real_coefficients(constant.slots.astype(np.float64)) * constant.scale)
        if np.abs(wanted).max() > LARGEST_SMALL:
            return None
        # in pieces that leave memory, one after the other, when all of a piece are packed
        size = len(wanted) + LANES
        result = self._smalls.empty(-(-2 * size // RESIDUE_BYTES)).view(np.int16)[:size]
        result[: len(wanted)], result[len(wanted) :] = wanted, 0
        return result

    def _packed(self, key: Key, small: NDArray[np.int16]) -> NDArray[np.uint8]:
        """The packed rows of a small constant."""
        ring, size, (index, form) = self._ring, self._bytes(key, Storage.PACKED), key
        result = self._arena.empty(-(-size // RESIDUE_BYTES)).view(np.uint8)[:size]
        moduli = ring.moduli(self._plan.constants[index].level, form is Form.EXTENDED)
        specials = ring.bases.specials if form is Form.EXTENDED else 0
        row, scratch = np.empty(ring.degree // 2), np.empty(ring.degree)
        packed_rows(small, form is Form.LIFTED, moduli, result, row, scratch, specials, ring.tables)
        return result


class _Steps:
    """Tells a callback how many of the constants are done."""

    def __init__(self, progress: Progress | None, count: int) -> None:
        self._progress, self._count, self._done = progress, count, 0.0

    def done(self, share: float = 1.0) -> None:
        """This share of one more constant is done."""
        self._done += share
        if self._progress is not None:
            self._progress("encode the weights", self._done / self._count)
