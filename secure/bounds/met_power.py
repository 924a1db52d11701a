"""Met power: the mean square of the slots that the weights of a layout meet, that is, are multiplied with. Pure.

The rounding error of an encoded weight is multiplied with the same slots, so met power decides how much noise the
rounding of weights makes. It depends on the layout alone: one object serves every chain of primes that is tried for a
draft. Expensive fields are computed when they are first read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secure.bounds.slot_values import atom_slots, source_powers
from secure.drafting.draft import Draft, Evidence
from secure.layout.diagonals import DiagonalKey, turnable
from secure.layout.packing import EMPTY, SlotMap

Array = NDArray[np.float64]

#: The most diagonals per stage whose encoding errors are computed, and about the most numbers of those of all stages.
#: Evenly spaced ones stand for a larger number. A network of many stages gets at least FEWEST_DIAGONALS for each.
MEASURED_DIAGONALS, FEWEST_DIAGONALS, MEASURED_NUMBERS = 256, 16, 1 << 24


@dataclass(frozen=True)
class MetPower:
    """The met power of an arranged draft, on the images of `evidence`."""

    draft: Draft
    evidence: Evidence

    @cached_property
    def slots(self) -> tuple[Array, ...]:
        """For each atom, its slots on every image, (images, ciphertexts * planes, slots)."""
        return atom_slots(self.draft, self.evidence)

    @cached_property
    def all_diagonals(self) -> tuple[Mapping[int, Array], ...]:
        """For each stage and atom, the met power of every feature of the stage's value, (features,).

        That is the sum over all diagonals and folds that make the feature.
        """
        return tuple(self._met(stage, table.diagonals.keys()) for stage, table in enumerate(self.draft.tables))

    @cached_property
    def measured_diagonals(self) -> tuple[Mapping[int, Array], ...]:
        """As `all_diagonals`, but summed over the diagonals of `measured_keys` only."""
        chosen = [measured_keys(self.draft, stage) for stage in range(len(self.draft.tables))]
        return tuple(
            self.all_diagonals[stage]
            if len(keys) == len(self.draft.tables[stage].diagonals)
            else self._met(stage, keys)
            for stage, keys in enumerate(chosen)
        )

    @cached_property
    def by_image(self) -> tuple[Array, ...]:
        """For each atom, the mean square on every image, divided by that on all images, (images,)."""
        power = tuple(np.mean(atom**2, axis=0) for atom in self.evidence.atoms)
        return tuple(row / max(float(row.mean()), np.finfo(float).tiny) for row in power)

    @cached_property
    def _by_slot(self) -> tuple[Mapping[int, Array], ...]:
        """For each stage and atom, the mean square of every slot before the products, (ciphertexts * planes, slots)."""
        return source_powers(self.draft, self.evidence)

    def _met(self, stage: int, keys: Collection[DiagonalKey]) -> dict[int, Array]:
        """For each atom of one stage, the met power summed over these diagonals and over the folds, (features,)."""
        table, size = self.draft.tables[stage], self.draft.stages[stage].size
        slots = table.output_map.shape[1]
        result = {}
        for atom in self.draft.stages[stage].maps:
            mean_square = turnable(self._by_slot[stage][atom])
            total = np.zeros(table.output_map.shape)
            for key in sorted(keys):
                if key.atom == atom:
                    total[key.output] += mean_square[key.input, key.rotation : key.rotation + slots]
            for fold in (*table.folds, *table.client_folds):
                total = total + np.roll(total, -fold, axis=1)
            result[atom] = by_feature(total, table.output_map, size)
        return result


def measured_keys(draft: Draft, stage: int) -> list[DiagonalKey]:
    """The evenly spaced diagonals of a stage whose encoding errors stand for those of all; sorted."""
    keys = sorted(draft.tables[stage].diagonals)
    share = MEASURED_NUMBERS // (draft.choice.slots * len(draft.tables))
    return keys[:: -(-len(keys) // min(MEASURED_DIAGONALS, max(FEWEST_DIAGONALS, share)))]


def by_feature(slots: Array, slot_map: SlotMap, size: int) -> Array:
    """(size,): for each feature, the mean over the slots that carry it. slots: one number per slot of the map."""
    used = slot_map != EMPTY
    features = slot_map[used]
    return np.asarray(np.bincount(features, slots[used], size) / np.maximum(np.bincount(features, minlength=size), 1))
