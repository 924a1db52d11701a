"""Diagonals of which only the entries that are not zero are kept. Pure.

The search compares dozens of layouts of every stage, and nearly all it asks about them is which diagonals there are. A
diagonal has one number per slot, but most of them are zeros, or repeat with a period. So entries are kept as (place,
value), and a diagonal is written out only where somebody reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, order=True)
class DiagonalKey:
    """What a diagonal belongs to: output ciphertext, atom, input ciphertext of that atom, and rotation."""

    output: int
    atom: int
    input: int
    rotation: int


@dataclass(frozen=True, eq=False)
class SparseDiagonals(Mapping[DiagonalKey, Array]):
    """A read-only mapping from keys to diagonals (slots,). Every look-up makes a new array.

    owners: the key of every diagonal. bounds: (diagonals + 1,); the entries of diagonal k are bounds[k] to
    bounds[k + 1] - 1. places: (entries,), their slots in the first period. numbers: (entries,), what they hold.
    period: in slots; all periods of a diagonal are equal. slots: per ciphertext.
    """

    owners: tuple[DiagonalKey, ...]
    bounds: NDArray[np.int64]
    places: NDArray[np.int32]
    numbers: Array
    period: int
    slots: int

    @cached_property
    def _index(self) -> Mapping[DiagonalKey, int]:
        return {key: number for number, key in enumerate(self.owners)}

    def __getitem__(self, key: DiagonalKey) -> Array:
        number = self._index[key]
        held = slice(self.bounds[number], self.bounds[number + 1])
        result = np.zeros((self.slots // self.period, self.period))
        result[:, self.places[held]] = self.numbers[held]
        return result.reshape(self.slots)

    def __iter__(self) -> Iterator[DiagonalKey]:
        return iter(self.owners)

    def __len__(self) -> int:
        return len(self.owners)

    def __contains__(self, key: object) -> bool:
        return key in self._index


@dataclass(frozen=True)
class Entries:
    """Entries of the diagonals of one atom, in any order; each array is (entries,).

    order: the same number for entries of one diagonal. Diagonals are sorted by it. output, input, rotation: of the
    diagonal that an entry belongs to. places, values: their slots and what they hold.
    """

    atom: int
    order: NDArray[np.int64]
    output: NDArray[np.int64]
    input: NDArray[np.int64]
    rotation: NDArray[np.int64]
    places: NDArray[np.int64]
    values: Array


def sparse_diagonals(parts: list[Entries], period: int, slots: int) -> SparseDiagonals:
    """The diagonals of all atoms, one atom after the other."""
    owners: list[DiagonalKey] = []
    bounds, places, values, total = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0)], 0
    for part in parts:
        placed = np.argsort(part.order, kind="stable")
        starts = np.flatnonzero(np.diff(part.order[placed], prepend=-1))
        firsts = (field[placed[starts]].tolist() for field in (part.output, part.input, part.rotation))
        owners += [DiagonalKey(output, part.atom, *place) for output, *place in zip(*firsts, strict=True)]
        bounds.append(starts + total)
        places.append(part.places[placed].astype(np.int32))
        values.append(part.values[placed])
        total += len(placed)
    ends = np.append(np.concatenate(bounds), total)
    return SparseDiagonals(tuple(owners), ends, np.concatenate(places), np.concatenate(values), period, slots)
