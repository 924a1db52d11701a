"""A convolution over the input, tap by tap: which inputs its positions read through every tap, and the weights. Pure.

The client may send input features in any order and more than once. Here it sends one block of slots per tap. The block
has one slot per output position, which holds what that position reads through the tap. The convolution is then a small
dense map from taps to channels, applied to all positions at once, and no rotation moves positions (ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from secure.layout.block_tables import ShiftedWeights
from secure.layout.packing import EMPTY, SlotMap, fanned_map, next_power_of_two, raster_positions
from secure.stages.stages import Stage

#: With more taps than this a convolution is not laid out tap by tap: its dense map would be large.
MAX_TAPS = 512


@dataclass(frozen=True)
class Taps:
    """The taps of a convolution.

    inputs: (taps, positions), the flat input feature that a position reads through a tap, EMPTY outside the input.
    weights: from taps, in the place of channels, to channels; all without a shift, since taps lie side by side.
    """

    inputs: NDArray[np.int32]
    weights: ShiftedWeights


def stage_taps(stage: Stage) -> Taps | None:
    """The taps of a stage that reads only the input and whose result has positions.

    None for any other stage, and for one with more than MAX_TAPS taps.
    """
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
    values = np.asarray(matrix.data, dtype=np.float64)
    return Taps(inputs, ShiftedWeights(np.zeros_like(tap), channel, tap, position, values, grid.channels, len(offsets)))


def tap_blocks(count: int, channels: int, blocks: int) -> SlotMap:
    """(ciphertexts, blocks): which of `count` taps each block holds, if rotations may go around all blocks."""
    return fanned_map(np.arange(count), channels, blocks)


def straight_tap_blocks(count: int, channels: int) -> SlotMap:
    """(ciphertexts, blocks of one quarter): the tap in each block, if rotations may not leave a quarter.

    Channel c reads the blocks c, c + 1 and so on, and finds all taps of the ciphertext there before the quarter ends.
    This takes more ciphertexts instead of more rotations.
    """
    blocks = next_power_of_two(channels)
    share = blocks - channels + 1
    rows = np.arange(-(-count // share) * share).reshape(-1, share)
    spread = rows[:, np.arange(blocks) % share]
    return np.where(spread < count, spread, EMPTY).astype(np.int32)
