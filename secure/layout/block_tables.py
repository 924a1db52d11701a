"""Linear maps between values in blocks, as diagonals: for every shift of positions a small dense map over blocks. Pure.

For output position p, a tap of a convolution reads input position p plus an offset. In blocks, one rotation moves all
positions of all channels by that offset. Mixing channels is then a dense map over blocks: it rotates by whole blocks,
and its rows may be divided into shares, one per copy of the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secure.layout.blocks import Blocks, PositionPlaces
from secure.layout.diagonals import DiagonalKey, DiagonalTable, folded_pattern
from secure.layout.packing import EMPTY, SlotMap

Array = NDArray[np.float64]


def block_table(
    weights: Mapping[int, Array], atom: int, source: SlotMap, block: int, places: PositionPlaces, groups: int = 1
) -> tuple[DiagonalTable, Blocks]:
    """The diagonals of a map, and the layout of its result.

    weights: for each shift in slots, (rows, channels, positions); a row is a channel of the result. source: the channel
    in every block, (ciphertexts, blocks of one quarter). block: slots per block. places: where the positions of the
    result lie. groups: how many shares the rows are divided into.
    """
    rows = len(next(iter(weights.values())))
    pattern = folded_pattern({atom: source}, rows, groups)
    result = Blocks(pattern.output_map, block, places)
    shifts, stacked = list(weights), np.stack(list(weights.values()))
    periods = pattern.output_map.shape[1] // pattern.period
    diagonals: dict[DiagonalKey, Array] = {}
    for key, rows_met, columns_met in pattern.entries:
        own_rows, columns = np.tile(rows_met, periods), np.tile(columns_met, periods)
        valid = (own_rows != EMPTY) & (columns != EMPTY)
        values = np.zeros((len(shifts), len(own_rows), stacked.shape[-1]))
        values[:, valid] = stacked[:, own_rows[valid], columns[valid]]
        used = np.flatnonzero(values.any(axis=(1, 2)))
        for place, slots in zip(used.tolist(), result.scattered(values[used], 0.0), strict=True):
            diagonals[replace(key, rotation=(key.rotation * block + shifts[place]) % result.slots)] = slots
    folds = tuple(fold * block for fold in pattern.folds)
    return DiagonalTable(diagonals, folds, result.slot_map, pattern.partial), result


def shifted_weights(matrix: Array, channels: int, before: PositionPlaces, after: PositionPlaces) -> dict[int, Array]:
    """The entries of a matrix sorted by shift, the distance in slots from an output position to an input position.

    matrix: (rows * positions after, channels * positions before). Returns: for each shift, the weights (rows, channels,
    positions after).
    """
    own, read = len(after.inner), len(before.inner)
    split = matrix.reshape(-1, own, channels, read)
    shift = before.inner[None, :] - after.inner[:, None]
    used = np.any(split != 0, axis=(0, 2))
    result = {}
    for one in np.unique(shift[used]).tolist():
        position, source = np.nonzero(used & (shift == one))
        weights = np.zeros((split.shape[0], channels, own))
        weights[:, :, position] = split[:, position, :, source].transpose(1, 2, 0)
        result[one] = weights
    return result
