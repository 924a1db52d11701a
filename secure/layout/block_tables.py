"""Linear maps between values in blocks, as diagonals: for every shift of positions a small dense map over blocks. Pure.

For output position p, a tap of a convolution reads input position p plus an offset. In blocks, one rotation moves all
positions of all channels by that offset. Mixing channels is then a dense map over blocks: it rotates by whole blocks,
and its rows may be divided into shares, one per copy of the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secure.layout.blocks import Blocks, PositionPlaces
from secure.layout.diagonals import DiagonalTable, FoldedShape
from secure.layout.packing import SlotMap
from secure.layout.sparse_diagonals import Entries, sparse_diagonals

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ShiftedWeights:
    """The entries that are not zero of a map between values with positions; each array is (entries,).

    shift: the distance in slots from the output position to the input position. row: channel of the result. channel:
    of the input. position: of the result. rows, channels: how many there are.
    """

    shift: NDArray[np.int64]
    row: NDArray[np.int64]
    channel: NDArray[np.int64]
    position: NDArray[np.int64]
    values: Array
    rows: int
    channels: int

    @property
    def shifts(self) -> int:
        """How many different shifts there are."""
        return len(np.unique(self.shift))


def block_table(
    weights: ShiftedWeights, atom: int, source: SlotMap, block: int, places: PositionPlaces, groups: int = 1
) -> tuple[DiagonalTable, Blocks]:
    """The diagonals of a map, and the layout of its result.

    source: the channel in every block, (ciphertexts, blocks of one quarter). block: slots per block. places: where the
    positions of the result lie. groups: how many shares the rows are divided into.
    """
    shape = FoldedShape.of({atom: source}, weights.rows, groups)
    result = Blocks(shape.output_map, block, places)
    met = _met_blocks(shape, atom, source, weights)
    number = np.unique(weights.shift, return_inverse=True)[1]
    rotation = (met.rotation * block + weights.shift) % result.slots
    order = _by_diagonal(
        met.order * (int(number.max(initial=0)) + 1) + number,
        (met.output * len(source) + met.input) * result.slots + rotation,
    )
    slot = met.places * block + places.inner[weights.position]
    period, copies = shape.period * block, np.zeros(1, dtype=np.int64)
    if places.quarters > 1:  # each quarter repeats by itself, so the copies of an entry are written out
        slot = slot + places.quarter[weights.position] * (source.shape[1] * block)
        copies, period = np.arange(source.shape[1] // shape.period) * period, result.slots
    entries = Entries(
        atom=atom,
        order=np.tile(order, len(copies)),
        output=np.tile(met.output, len(copies)),
        input=np.tile(met.input, len(copies)),
        rotation=np.tile(rotation, len(copies)),
        places=(copies[:, None] + slot).ravel(),
        values=np.tile(weights.values, len(copies)),
    )
    folds = tuple(fold * block for fold in shape.folds)
    diagonals = sparse_diagonals([entries], period, result.slots)
    return DiagonalTable(diagonals, folds, result.slot_map, shape.partial), result


def _met_blocks(shape: FoldedShape, atom: int, source: SlotMap, weights: ShiftedWeights) -> Entries:
    """For every weight, where the dense map over blocks has the entry of its row and its channel."""
    pairs = sparse.csr_matrix(np.arange(1.0, weights.rows * weights.channels + 1).reshape(weights.rows, -1))
    mixed = shape.entries(atom, pairs, source)
    place = np.zeros(weights.rows * weights.channels, dtype=np.int64)
    place[mixed.values.astype(np.int64) - 1] = np.arange(len(mixed.values))
    chosen = place[weights.row * weights.channels + weights.channel]
    return Entries(
        atom=atom,
        order=mixed.order[chosen],
        output=mixed.output[chosen],
        input=mixed.input[chosen],
        rotation=mixed.rotation[chosen],
        places=mixed.places[chosen],
        values=weights.values,
    )


def _by_diagonal(order: NDArray[np.int64], diagonal: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least order number of each entry's diagonal: two shifts that differ by whole blocks may share one."""
    owner = np.unique(diagonal, return_inverse=True)[1]
    least = np.full(int(owner.max(initial=0)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, owner, order)
    return least[owner]


def shifted_weights(
    matrix: sparse.csr_matrix, channels: int, before: PositionPlaces, after: PositionPlaces
) -> ShiftedWeights:
    """The entries of a matrix (rows * positions after, channels * positions before) with their shifts."""
    own, read = len(after.inner), len(before.inner)
    entries = matrix.tocoo()
    row, position = np.divmod(entries.row.astype(np.int64), own)
    channel, origin = np.divmod(entries.col.astype(np.int64), read)
    shift = before.inner[origin] - after.inner[position]
    values = np.asarray(entries.data, dtype=np.float64)
    return ShiftedWeights(shift, row, channel, position, values, matrix.shape[0] // own, channels)
