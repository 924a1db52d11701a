"""A plan's constants, encoded as residues in the forms that its sums need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress
from secure.engine import arithmetic
from secure.engine.buffers import Arena
from secure.engine.ring import EngineRing
from secure.engine.schedule import Form, Schedule
from secure.plan import Plan
from secure.seal.context import RESIDUE_BYTES

Array = NDArray[np.float64]


class EngineConstants:
    """The encoded constants of a plan.

    In the order of their first use, as many as fit `cache_bytes` are encoded when this object is made, and kept. The
    others are encoded again at every use.
    """

    def __init__(
        self, ring: EngineRing, plan: Plan, schedule: Schedule, cache_bytes: int, progress: Progress | None = None
    ) -> None:
        self._ring, self._plan = ring, plan
        self._kept: dict[tuple[int, Form], Array] = {}
        room, arena = cache_bytes, Arena()
        for done, (index, form) in enumerate(schedule.constants, start=1):
            rows = plan.constants[index].level + ring.bases.specials * (form is Form.EXTENDED)
            room -= rows * ring.degree * RESIDUE_BYTES
            if room < 0:
                break
            self._kept[index, form] = arena.copy(self.encoded(index, form))
            if progress is not None:
                progress("encode the weights", done / len(schedule.constants))

    def kept(self, index: int, form: Form) -> Array | None:
        """The residues of a constant that was kept; None if there was no room for it."""
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
