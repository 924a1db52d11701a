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

from secure.layout.packing import EMPTY, SlotMap, fanned_map, next_power_of_two, raster_positions
from secure.stages.stages import Stage

Array = NDArray[np.float64]

#: More taps than this and a convolution is no small dense map any more.
MAX_TAPS = 512


@dataclass(frozen=True)
class Taps:
    """inputs: (taps, positions) the flat input feature behind every tap, EMPTY where it lies outside. weights: (channels, taps,
    positions)."""

    inputs: NDArray[np.int32]
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
    inputs = np.full((len(offsets), positions), EMPTY, dtype=np.int32)
    inputs[tap, position] = matrix.col
    weights = np.zeros((grid.channels, len(offsets), positions))
    weights[channel, tap, position] = matrix.data
    return Taps(inputs, weights)


def tap_blocks(count: int, channels: int, blocks: int) -> SlotMap:
    """(ciphertexts, blocks): which of `count` taps each block holds, for rotations that go round all blocks."""
    return fanned_map(np.arange(count), channels, blocks)


def straight_tap_blocks(count: int, channels: int) -> SlotMap:
    """(ciphertexts, blocks of one quarter) for rotations that may not leave a quarter: channel c reads blocks c, c + 1, ... and finds
    all taps of a ciphertext in them; more ciphertexts instead of more rotations."""
    blocks = next_power_of_two(channels)
    share = blocks - channels + 1
    rows = np.arange(-(-count // share) * share).reshape(-1, share)
    spread = rows[:, np.arange(blocks) % share]
    return np.where(spread < count, spread, EMPTY).astype(np.int32)
