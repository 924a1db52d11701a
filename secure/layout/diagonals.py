"""A linear map between slot maps as diagonals. Pure.

For an input slot map and an output slot map, the map is a sum of rotated inputs times vectors:

    output_o[s] = sum over inputs i and rotations r of  input_i[(s + r) mod slots] * diagonal_{o,i,r}[s]

Folds then add rotated copies of the result to it. Each fold rotates by twice as much as the one before it. A diagonal
of zeros is left out: this is how pruned blocks save rotations and keys.

Diagonals are due to Halevi and Shoup, folds for maps with fewer rows than columns to the hybrid method of GAZELLE.
Ours: fanned inputs, rows in shares over copies of the input, two planes, taps side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secure.layout.packing import EMPTY, SlotMap, next_power_of_two, period_of, periodic_map

Array = NDArray[np.float64]


@dataclass(frozen=True, order=True)
class DiagonalKey:
    """What a diagonal belongs to: output ciphertext, atom, input ciphertext of that atom, and rotation."""

    output: int
    atom: int
    input: int
    rotation: int


@dataclass(frozen=True)
class DiagonalTable:
    """One stage's affine map, without its constant. Nobody writes into it.

    diagonals: each (slots,). folds: rotations, in slots, that add up the result. output_map: the slot map of the
    result. partial: whether slots of the result without a feature may hold partial sums of other rows instead of zero.
    presums: for each atom, the folds of its ciphertexts before the products.
    """

    diagonals: Mapping[DiagonalKey, Array]
    folds: tuple[int, ...]
    output_map: SlotMap
    partial: bool = False
    presums: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @cached_property
    def atoms(self) -> frozenset[int]:
        """The atoms that some diagonal reads."""
        return frozenset(key.atom for key in self.diagonals)


@dataclass(frozen=True)
class Pattern:
    """Which entry of a matrix lies in which slot of which diagonal.

    entries: for every diagonal (key, rows, columns): the row and the column of the entry in each slot of one period,
    EMPTY where the slot holds zero. All periods are equal. period: in slots. The other fields are those of the table.
    """

    entries: tuple[tuple[DiagonalKey, SlotMap, SlotMap], ...]
    period: int
    folds: tuple[int, ...]
    output_map: SlotMap
    partial: bool


def folded_table(
    maps: Mapping[int, sparse.csr_matrix], sources: Mapping[int, SlotMap], rows: int, groups: int = 1
) -> DiagonalTable:
    """The table of dense maps onto `rows` rows.

    The rows repeat with a period, the next power of two. If the inputs repeat with a longer one, the products give
    partial sums, and folds add them up.
    groups: how many shares the rows are divided into. With one share, row s mod period ends in slot s. With more, each
    copy of the inputs computes one share. That takes fewer diagonals and more folds, and only the first slots of every
    copy hold results.
    """
    dense = {atom: matrix.toarray() for atom, matrix in maps.items()}
    pattern = folded_pattern(sources, rows, groups)
    diagonals = {}
    for key, own_rows, columns in pattern.entries:
        values = _gather(dense[key.atom], own_rows, columns)
        if values.any():
            diagonals[key] = np.tile(values, pattern.output_map.shape[1] // pattern.period)
    return DiagonalTable(diagonals, pattern.folds, pattern.output_map, pattern.partial)


def folded_pattern(sources: Mapping[int, SlotMap], rows: int, groups: int) -> Pattern:
    """The pattern of `folded_table`, for which the matrix itself is not needed."""
    slots = next(iter(sources.values())).shape[1]
    input_period = max(period_of(source) for source in sources.values())
    share = -(-rows // groups)
    row_period = min(next_power_of_two(share), slots)
    if groups > 1 and (groups * input_period > slots or row_period > input_period):
        raise ValueError(f"{groups} shares of {rows} rows do not fit {slots // input_period} copies")
    period = groups * input_period if groups > 1 else max(row_period, input_period)
    slot = np.arange(slots)
    if groups == 1:
        row_of_slot = output_map = periodic_map(rows, slots)
    else:
        group = slot // input_period % groups
        row = group * share + slot % row_period
        held = (slot % row_period < share) & (row < rows)
        row_of_slot = np.where(held, row, EMPTY).astype(np.int32)[None]
        output_map = np.where(slot % input_period < row_period, row_of_slot, EMPTY).astype(np.int32)
    window = min(row_period, input_period)
    entries = []
    for atom, source in sources.items():
        keep = _first_copies(source, window, input_period)
        for index, features in enumerate(source):
            for rotation in range(window):
                chosen = keep[index, rotation]
                if not chosen.any():
                    continue
                # chosen is indexed by the input's slot; the output slot is `rotation` to the left of it
                columns = np.roll(np.where(chosen, features[:input_period], EMPTY), -rotation)
                columns = np.tile(columns, period // input_period)
                entries += [
                    (DiagonalKey(output, atom, index, rotation), own_rows[:period], columns)
                    for output, own_rows in enumerate(row_of_slot)
                ]
    folds = []
    step = row_period
    while step < input_period:
        folds.append(step)
        step *= 2
    return Pattern(tuple(entries), period, tuple(folds), output_map, groups > 1 and bool(folds))


def placed_table(
    maps: Mapping[int, sparse.csr_matrix], sources: Mapping[int, SlotMap], output_map: SlotMap
) -> DiagonalTable:
    """The table of maps onto a given output map, which has one slot per row. The table has no folds.

    Each entry of a matrix reads the copy of its feature that is nearest to the slot of its row.
    """
    slots = output_map.shape[1]
    target = _copies(output_map, int(output_map.max()) + 1)[:, 0]
    diagonals: dict[DiagonalKey, Array] = {}
    for atom, matrix in maps.items():
        entries = matrix.tocoo()
        if not entries.nnz:
            continue
        copies = _copies(sources[atom], matrix.shape[1])
        output, slot = np.divmod(target[entries.row], slots)
        candidates = copies[entries.col]  # (entries, copies), flat slot or EMPTY
        distance = (candidates % slots - slot[:, None] + slots // 2) % slots - slots // 2
        nearest = np.argmin(np.where(candidates == EMPTY, slots, np.abs(distance)), axis=1)
        chosen = candidates[np.arange(len(nearest)), nearest]
        rotation = (chosen % slots - slot) % slots
        group = (output * sources[atom].shape[0] + chosen // slots) * slots + rotation
        order = np.argsort(group, kind="stable")
        bounds = np.flatnonzero(np.diff(group[order], prepend=-1))
        for part in np.split(order, bounds[1:]):
            first = part[0]
            values = np.zeros(slots)
            values[slot[part]] = entries.data[part]
            key = DiagonalKey(int(output[first]), atom, int(chosen[first] // slots), int(rotation[first]))
            diagonals[key] = values
    return DiagonalTable(diagonals, (), output_map)


def plane_constants(table: DiagonalTable, planes: int) -> Mapping[DiagonalKey, NDArray[Any]]:
    """The constants that multiply ciphertexts, each (slots,). `input` in their keys counts ciphertexts.

    In the keys of the table, `input` counts planes. With two planes, one ciphertext holds two inputs x and y as x + iy.
    Re((a - ib)(x + iy)) = ax + by, so one product does the work of two. Adding the conjugate gives twice the real part,
    so the constants of such a table are halved (derived).
    """
    if not is_conjugated(table, planes):
        return table.diagonals
    constants: dict[DiagonalKey, NDArray[Any]] = {}
    for key, values in table.diagonals.items():
        if key.atom != 0:
            constants[key] = values / 2
            continue
        place = replace(key, input=key.input // planes)
        part = (values if key.input % planes == 0 else -1j * values) / 2
        constants[place] = constants[place] + part if place in constants else part.astype(np.complex128)
    return constants


def is_conjugated(table: DiagonalTable, planes: int) -> bool:
    """Whether the table's sum is complex, so that its conjugate must be added."""
    return planes > 1 and 0 in table.atoms


def apply_table(table: DiagonalTable, atoms: Mapping[int, Array]) -> Array:
    """The slots (..., outputs, slots) that a table makes of each atom's slots (..., ciphertexts, slots).

    This is the definition of what a table means.
    """
    result = np.zeros((*next(iter(atoms.values())).shape[:-2], *table.output_map.shape))
    slots = result.shape[-1]
    turned = {atom: turnable(folded(own, table.presums.get(atom, ()))) for atom, own in atoms.items()}
    for key, values in table.diagonals.items():
        rotated = turned[key.atom][..., key.input, key.rotation : key.rotation + slots]
        result[..., key.output, :] += rotated * values
    return folded(result, table.folds)


def turnable(slots: Array) -> Array:
    """The slots repeated, (..., 2 * slots). A rotation by r is then the slice from r to r + slots, without a copy."""
    return np.concatenate([slots, slots], axis=-1)


def folded(slots: Array, folds: Sequence[int]) -> Array:
    """The slots after these folds: each adds the slots rotated by its number of steps, one fold after the other."""
    for fold in folds:
        slots = slots + np.roll(slots, -fold, axis=-1)
    return slots


def _gather(dense: Array, rows: NDArray, columns: NDArray) -> Array:
    """dense[rows, columns] with zero where either is EMPTY."""
    valid = (rows != EMPTY) & (columns != EMPTY)
    return np.where(valid, dense[np.where(valid, rows, 0), np.where(valid, columns, 0)], 0.0)


def _first_copies(source: SlotMap, window: int, period: int) -> NDArray[np.bool_]:
    """(ciphertexts, window, period): whether the product of rotation r at input slot t counts.

    Output slots with the same remainder modulo `window` are folded together, and each of these classes may use every
    feature once. The first copy counts: the one with the smallest rotation, then the smallest slot.
    """
    held = source[:, :period]
    if np.bincount(held[held != EMPTY]).max(initial=0) <= 1:  # with one copy, every class reads it once
        return np.broadcast_to((held != EMPTY)[:, None], (len(source), window, period))
    features = int(source.max()) + 1
    seen = np.zeros((window, features), dtype=bool)
    keep = np.zeros((source.shape[0], window, period), dtype=bool)
    slot = np.arange(period)
    for rotation in range(window):
        for index in range(source.shape[0]):
            feature = source[index, :period]
            row_class = (slot - rotation) % window
            fresh = (feature != EMPTY) & ~seen[row_class, np.where(feature == EMPTY, 0, feature)]
            candidates = np.flatnonzero(fresh)
            pairs = row_class[candidates] * features + feature[candidates]
            _, first = np.unique(pairs, return_index=True)
            chosen = candidates[first]
            keep[index, rotation, chosen] = True
            seen[row_class[chosen], feature[chosen]] = True
    return keep


def _copies(slot_map: SlotMap, features: int) -> NDArray[np.int64]:
    """(features, most copies): the flat slots that hold each feature, EMPTY-padded, in ascending order."""
    flat = slot_map.ravel()
    slots = np.flatnonzero(flat != EMPTY)
    order = np.argsort(flat[slots], kind="stable")
    owner, place = flat[slots][order], slots[order]
    first = np.searchsorted(owner, np.arange(features))
    rank = np.arange(len(owner)) - first[owner]
    result = np.full((features, int(rank.max()) + 1), EMPTY, dtype=np.int64)
    result[owner, rank] = place
    return result
