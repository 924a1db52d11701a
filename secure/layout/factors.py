"""The two factors of a product of values in slots. Pure.

A product of two ciphertexts multiplies slot by slot. So both factors must have every feature in the same slot. They may
lie in ciphertexts of their own, those of the second one last. Or they lie side by side in one ciphertext, which is
multiplied with itself rotated by their distance: one rotation more, but only one value to fold, and where the value
repeats with twice that distance, the product has twice as many copies of every feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secure.layout.diagonals import DiagonalKey, DiagonalTable
from secure.layout.packing import EMPTY, SlotMap
from secure.stages.pairs import Making, activated, pulled

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BothDiagonals(Mapping[DiagonalKey, Array]):
    """The diagonals of both factors. outputs: the ciphertexts of the first one, after which the second one's come."""

    left: Mapping[DiagonalKey, Array]
    right: Mapping[DiagonalKey, Array]
    outputs: int

    def __getitem__(self, key: DiagonalKey) -> Array:
        if key.output < self.outputs:
            return self.left[key]
        return self.right[replace(key, output=key.output - self.outputs)]

    def __iter__(self) -> Iterator[DiagonalKey]:
        yield from self.left
        for key in self.right:
            yield replace(key, output=key.output + self.outputs)

    def __len__(self) -> int:
        return len(self.left) + len(self.right)


def both_factors(left: DiagonalTable, right: DiagonalTable) -> DiagonalTable | None:
    """The table of a value that holds the results of both, in this order; None where they are not laid out alike."""
    if left.folds != right.folds or not np.array_equal(left.output_map, right.output_map):
        return None
    if any(left.presums.get(atom) != right.presums.get(atom) for atom in left.atoms & right.atoms):
        return None
    features = int(left.output_map.max()) + 1
    second = np.where(right.output_map == EMPTY, EMPTY, right.output_map + features).astype(np.int32)
    return DiagonalTable(
        diagonals=BothDiagonals(left.diagonals, right.diagonals, len(left.output_map)),
        folds=left.folds,
        output_map=np.concatenate([left.output_map, second]),
        partial=left.partial or right.partial,
        presums={**left.presums, **right.presums},
    )


def in_one(table: DiagonalTable, features: int, half: int) -> DiagonalTable | None:
    """The table of both factors in the same ciphertexts, with the rotation that brings the second one to the first.

    table: of a value of 2 half rows, of which rows `features` to half and those after half + features are nothing.
    Returns: None where no rotation brings every feature of the second factor to a copy of the first one.
    """
    number = np.arange(2 * half)
    held = number % half < features
    kept = np.append(np.where(held, number - (number >= half) * (half - features), EMPTY), EMPTY)
    places = kept[table.output_map].astype(np.int32)
    first = np.nonzero(places == 0)
    if not len(first[0]):
        return None
    seconds = np.flatnonzero(places[first[0][0]] == features) - first[1][0]
    found = [(int(np.sum(_paired(places, step, features) != EMPTY)), -step) for step in seconds % places.shape[1]]
    if not found:
        return None
    step = -max(found)[1]
    missing = np.setdiff1d(np.arange(features), _paired(places, step, features))
    return None if missing.size else replace(table, output_map=places, pairing=int(step))


def _paired(places: SlotMap, step: int, features: int) -> SlotMap:
    """The feature of the product in every slot, if the value is multiplied with itself rotated by `step`."""
    turned = np.roll(places, -step, axis=-1)
    meets = (places != EMPTY) & (turned != EMPTY) & (np.abs(places - turned) == features)
    return np.where(meets, np.minimum(places, turned), EMPTY).astype(np.int32)


def atom_map(table: DiagonalTable, making: Making) -> SlotMap:
    """Where the features lie that a stage makes of a value with this table."""
    if making is not Making.PRODUCT:
        return table.output_map
    if table.pairing:
        return _paired(table.output_map, table.pairing, int(table.output_map.max() + 1) // 2)
    return table.output_map[: len(table.output_map) // 2]


def made_slots(value: Array, table: DiagonalTable, making: Making) -> Array:
    """What a stage makes of its value, by slots (..., ciphertexts, slots)."""
    if table.pairing:
        return np.asarray(value * np.roll(value, -table.pairing, axis=-1))
    return activated(value, making, -2)


def pulled_slots(value: Array, by_atom: Array, table: DiagonalTable, making: Making) -> Array:
    """The derivatives by the value from those by what `made_slots` makes of it."""
    if table.pairing:
        turned = np.roll(value, -table.pairing, axis=-1)
        return np.asarray(turned * by_atom + np.roll(value * by_atom, table.pairing, axis=-1))
    return pulled(value, by_atom, making, -2)
