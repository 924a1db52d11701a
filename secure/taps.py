"""A convolution over the input seen tap by tap: which inputs its positions read through every tap, and with which weights. Pure.

The client may send an input in any order and more than once. Laid out tap by tap (one block of slots a tap, one slot a position) a
convolution needs no rotation over positions: it is a small dense map from taps to channels, done in every position at once (ours, after
the prototype's packing of patches).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from secure.packing import EMPTY, raster_positions
from secure.stages import Grid, Stage

Array = NDArray[np.float64]

#: More taps than this and a convolution is no small dense map any more.
MAX_TAPS = 512


@dataclass(frozen=True)
class Taps:
    """inputs: (taps, positions) the flat input feature behind every tap, EMPTY where it lies outside. weights: (channels, taps,
    positions)."""

    inputs: NDArray[np.int64]
    weights: Array


def stage_taps(stage: Stage) -> Taps | None:
    """The taps of a stage that reads nothing but the input and keeps positions; None for any other."""
    if stage.grid is None or set(stage.maps) != {0}:
        return None
    grid, matrix = stage.grid, stage.maps[0].tocoo()
    positions = prod(grid.sizes)
    anchors = raster_positions(grid, grid.origin[1:])
    channel, position = np.divmod(matrix.row, positions)
    offsets, tap = np.unique(matrix.col - anchors[position], return_inverse=True)
    if len(offsets) > MAX_TAPS:
        return None
    inputs = np.full((len(offsets), positions), EMPTY, dtype=np.int64)
    inputs[tap, position] = matrix.col
    weights = np.zeros((grid.channels, len(offsets), positions))
    weights[channel, tap, position] = matrix.data
    return Taps(inputs, weights)


def input_rows(taps: Taps, blocks: NDArray[np.int32], places: NDArray[np.int64], block: int) -> NDArray[np.int32]:
    """(rows, slots): the input feature of every slot, from the tap of every block (rows, blocks) and the place of every position."""
    result = np.full((*blocks.shape, block), EMPTY, dtype=np.int32)
    held = blocks != EMPTY
    rows, columns = np.nonzero(held)
    result[rows[:, None], columns[:, None], places] = taps.inputs[blocks[held]]
    return result.reshape(len(blocks), -1)


def compact_places(grid: Grid) -> NDArray[np.int64]:
    """Positions one after the other, without the gaps that the input's raster would leave."""
    return np.arange(prod(grid.sizes))
