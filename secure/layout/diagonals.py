"""A linear map between slot maps as diagonals. Pure.

For an input slot map and an output slot map, the map is a sum of rotated inputs times vectors:

    output_o[s] = sum over inputs i and rotations r of  input_i[(s + r) mod slots] * diagonal_{o,i,r}[s]

Folds then add rotated copies of the result to it. Each fold rotates by twice as much as the one before it. A diagonal
of zeros is left out: this is how pruned blocks save rotations and keys.

Diagonals are due to Halevi and Shoup, folds for maps with fewer rows than columns to the hybrid method of GAZELLE.
Ours: fanned inputs, rows in shares over copies of the input, two planes, taps side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secure.layout.doubled import product_rotations, signs
from secure.layout.packing import EMPTY, SlotMap, folded, next_power_of_two, period_of, periodic_map, read_slots
from secure.layout.sparse_diagonals import DiagonalKey as DiagonalKey
from secure.layout.sparse_diagonals import Entries, sparse_diagonals

Array = NDArray[np.float64]

#: How many (entry of a matrix, copy of its feature) pairs are compared at the same time.
CHUNK_CANDIDATES = 1 << 18


@dataclass(frozen=True)
class DiagonalTable:
    """One stage's affine map, without its constant. Nobody writes into it.

    diagonals: each (slots,). folds: rotations, in slots, that add up the result. output_map: the slot map of the
    result. partial: whether slots of the result without a feature may hold partial sums of other rows instead of zero.
    presums: for each atom, the folds of its ciphertexts before the products. client_folds: folds of the network's last
    stage that the client does after decryption; `output_map` says what its slots hold then. pairing: of a product's two
    factors in the same ciphertexts, the rotation that brings the second one to the first (`secure.layout.factors`).
    doubled: for each atom that is carried twice, after its presums, the rotation of its imaginary part
    (`secure.layout.doubled`). It changes how products are done, not what the table means.
    """

    diagonals: Mapping[DiagonalKey, Array]
    folds: tuple[int, ...]
    output_map: SlotMap
    partial: bool = False
    presums: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    client_folds: tuple[int, ...] = ()
    pairing: int = 0
    doubled: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def atoms(self) -> frozenset[int]:
        """The atoms that some diagonal reads."""
        return frozenset(key.atom for key in self.diagonals)

    @property
    def slots(self) -> int:
        """Slots per ciphertext."""
        return int(self.output_map.shape[1])

    @cached_property
    def _product_rotations(self) -> Mapping[int, Mapping[int, int]]:
        """By atom that is carried twice: for every rotation, that of the product which does its work."""
        return {
            atom: product_rotations({key.rotation for key in self.diagonals if key.atom == atom}, steps, self.slots)
            for atom, steps in self.doubled.items()
        }

    def product_key(self, key: DiagonalKey) -> DiagonalKey:
        """The key of the product that does the work of this diagonal."""
        if key.atom not in self.doubled:
            return key
        rotation = self._product_rotations[key.atom][key.rotation]
        return key if rotation == key.rotation else replace(key, rotation=rotation)


@dataclass(frozen=True)
class FoldedShape:
    """How the rows of a dense map lie in slots, and where folds add up its partial sums.

    Rows repeat with row_period, a power of two, and the inputs with input_period. share: rows per share. window: how
    many rotations are needed. period: of the diagonals; all of their periods are equal. slots: per ciphertext.
    """

    rows: int
    groups: int
    share: int
    row_period: int
    input_period: int
    slots: int

    @staticmethod
    def of(sources: Mapping[int, SlotMap], rows: int, groups: int) -> FoldedShape:
        """Raises: ValueError when the copies of the inputs have no room for so many shares."""
        slots = next(iter(sources.values())).shape[1]
        input_period = max(period_of(source) for source in sources.values())
        share = -(-rows // groups)
        row_period = min(next_power_of_two(share), slots)
        if groups > 1 and (groups * input_period > slots or row_period > input_period):
            raise ValueError(f"{groups} shares of {rows} rows do not fit {slots // input_period} copies")
        return FoldedShape(rows, groups, share, row_period, input_period, slots)

    @property
    def window(self) -> int:
        return min(self.row_period, self.input_period)

    @property
    def period(self) -> int:
        return self.groups * self.input_period if self.groups > 1 else max(self.row_period, self.input_period)

    @cached_property
    def output_map(self) -> SlotMap:
        """Where the rows of the result lie, (ciphertexts, slots)."""
        if self.groups == 1:
            return periodic_map(self.rows, self.slots)
        slot = np.arange(self.slots)
        row = slot // self.input_period % self.groups * self.share + slot % self.row_period
        held = (slot % self.input_period < self.share) & (row < self.rows)
        return np.where(held, row, EMPTY).astype(np.int32)[None]

    @property
    def folds(self) -> tuple[int, ...]:
        count = (self.input_period // self.window).bit_length() - 1
        return tuple(self.window << k for k in range(count))

    @property
    def partial(self) -> bool:
        return self.groups > 1 and bool(self.folds)

    def entries(self, atom: int, matrix: sparse.csr_matrix, source: SlotMap) -> Entries:
        """The entries of the diagonals that make `matrix` from an atom with this slot map.

        Output slots with the same remainder modulo `window` are folded together, so each row reads every feature
        once. Of several copies it reads the one with the smallest rotation, then the first. A feature that lies
        nowhere is left out.
        """
        held = matrix.tocoo(copy=True)
        held.sum_duplicates()
        copies = _copies(source[:, : self.input_period], matrix.shape[1])
        stays = (held.data != 0) & (copies[held.col, 0] != EMPTY)
        row, column, values = held.row[stays].astype(np.int64), held.col[stays], held.data[stays]
        group, local = np.divmod(row, self.share) if self.groups > 1 else (np.zeros_like(row), row % self.slots)
        chosen = np.empty((2, len(row)), dtype=np.int64)  # (flat slot of the copy, rotation)
        for part in _chunks(len(row), copies.shape[1]):
            flat = copies[column[part]]
            index, slot = np.divmod(flat, self.input_period)
            rotation = (slot - local[part, None]) % self.window
            order = (rotation * len(source) + index) * self.input_period + slot
            best = np.argmin(np.where(flat == EMPTY, np.iinfo(np.int64).max, order), axis=1)
            each = np.arange(len(best))
            chosen[:, part] = flat[each, best], rotation[each, best]
        index, slot = np.divmod(chosen[0], self.input_period)
        if self.row_period > self.input_period:
            place = local
        else:
            place = group * self.input_period + (slot - chosen[1]) % self.input_period
        output = row // self.slots if self.groups == 1 else np.zeros_like(row)
        order = (index * self.window + chosen[1]) * len(self.output_map) + output
        return Entries(atom, order, output, index, chosen[1], place, np.asarray(values, dtype=np.float64))


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
    shape = FoldedShape.of(sources, rows, groups)
    parts = [shape.entries(atom, maps[atom], source) for atom, source in sources.items()]
    diagonals = sparse_diagonals(parts, shape.period, shape.slots)
    return DiagonalTable(diagonals, shape.folds, shape.output_map, shape.partial)


def folded_by_client(table: DiagonalTable) -> DiagonalTable:
    """The table of the last stage without its folds, which are left to the client.

    Of several copies of an output, one stays: the plan adds an output's constant to one slot, and the client's sums
    must meet it once.
    """
    if not table.folds:
        return table
    size = int(table.output_map.max()) + 1
    places = read_slots(table.output_map, size)
    kept = np.full_like(table.output_map, EMPTY)
    kept[places[:, 0], places[:, 1]] = np.arange(size)
    return replace(table, folds=(), client_folds=table.folds, output_map=kept, partial=True)


def placed_table(
    maps: Mapping[int, sparse.csr_matrix], sources: Mapping[int, SlotMap], output_map: SlotMap
) -> DiagonalTable:
    """The table of maps onto a given output map, which has one slot per row. The table has no folds.

    Each entry of a matrix reads the copy of its feature that is nearest to the slot of its row.
    """
    slots = output_map.shape[1]
    target = _copies(output_map, int(output_map.max()) + 1)[:, 0]
    parts = []
    for atom, matrix in maps.items():
        entries = matrix.tocoo()
        copies = _copies(sources[atom], matrix.shape[1])
        output, slot = np.divmod(target[entries.row], slots)
        chosen = np.empty(len(slot), dtype=np.int64)
        for part in _chunks(len(slot), copies.shape[1]):
            candidates = copies[entries.col[part]]  # (entries, copies), flat slot or EMPTY
            distance = (candidates % slots - slot[part, None] + slots // 2) % slots - slots // 2
            nearest = np.argmin(np.where(candidates == EMPTY, slots, np.abs(distance)), axis=1)
            chosen[part] = candidates[np.arange(len(nearest)), nearest]
        index, rotation = chosen // slots, (chosen - slot) % slots
        order = (output * len(sources[atom]) + index) * slots + rotation
        values = np.asarray(entries.data, dtype=np.float64)
        parts.append(Entries(atom, order, output, index, rotation, slot, values))
    return DiagonalTable(sparse_diagonals(parts, slots, slots), (), output_map)


@dataclass(frozen=True, eq=False)
class PlaneConstants(Mapping[DiagonalKey, NDArray[Any]]):
    """The constants of a conjugated table; see `plane_constants`. Every look-up makes a new array.

    table: the table. parts: for every constant, the keys of the diagonals that it combines.
    """

    table: DiagonalTable
    parts: Mapping[DiagonalKey, tuple[DiagonalKey, ...]]
    planes: int

    def __getitem__(self, place: DiagonalKey) -> NDArray[Any]:
        total: NDArray[Any] | None = None
        for key in self.parts[place]:
            values = self.table.diagonals[key]
            part: NDArray[Any]
            if key.atom == 0 and self.planes > 1:
                part = ((values if key.input % self.planes == 0 else -1j * values) / 2).astype(np.complex128)
            elif key.rotation != place.rotation:
                part = -0.5j * signs(len(values), place.rotation) * values
            else:
                part = values / 2
            total = part if total is None else total + part
        return np.asarray(total)

    def __iter__(self) -> Iterator[DiagonalKey]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


def plane_constants(table: DiagonalTable, planes: int) -> Mapping[DiagonalKey, NDArray[Any]]:
    """The constants that multiply ciphertexts, each (slots,). `input` in their keys counts ciphertexts.

    In the keys of the table, `input` counts planes. With two planes, one ciphertext holds two inputs x and y as x + iy.
    Re((a - ib)(x + iy)) = ax + by, so one product does the work of two. Adding the conjugate gives twice the real part,
    so the constants of such a table are halved (derived). Of a doubled atom, a product does the work of two rotations.
    """
    if not is_conjugated(table, planes):
        return table.diagonals
    parts: dict[DiagonalKey, tuple[DiagonalKey, ...]] = {}
    for key in table.diagonals:
        place = product_place(table, key, planes)
        parts[place] = (*parts.get(place, ()), key)
    return PlaneConstants(table, parts, planes)


def is_conjugated(table: DiagonalTable, planes: int) -> bool:
    """Whether the table's sum is complex, so that its conjugate must be added."""
    return bool(table.doubled) or (planes > 1 and 0 in table.atoms)


def product_place(table: DiagonalTable, key: DiagonalKey, planes: int) -> DiagonalKey:
    """The key, in `plane_constants`, of the product that does the work of a diagonal of a conjugated table."""
    return replace(key, input=key.input // planes) if key.atom == 0 and planes > 1 else table.product_key(key)


def apply_table(table: DiagonalTable, atoms: Mapping[int, Array]) -> Array:
    """The slots (..., outputs, slots) that a table makes of each atom's slots (..., ciphertexts, slots).

    This is the definition of what a table means. The folds of the client are left out.
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


def _chunks(entries: int, copies: int) -> Iterator[slice]:
    """Slices of so many entries that their copies, as one array, stay small."""
    size = max(1, CHUNK_CANDIDATES // copies)
    return (slice(start, min(start + size, entries)) for start in range(0, entries, size))


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
