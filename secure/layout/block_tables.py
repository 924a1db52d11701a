"""Maps between values laid out in blocks, as diagonals: a small dense map over blocks for every shift of positions. Pure.

A convolution reads, for output position p, the input position p plus a tap. In blocks a tap is one rotation for all positions and
channels, and mixing channels is a dense map over blocks: its rotations are whole blocks, and its rows may be shared out over copies.
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
    """The table and the layout of its result. weights: by shift in slots, (rows, channels, positions); source: the channel of
    every block (ciphertexts, blocks of one quarter); places: of the result's positions.
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
    """A map (rows * positions, channels * positions before) by how far, in slots, each entry's input lies from its output."""
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
