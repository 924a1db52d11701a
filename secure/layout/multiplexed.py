"""Values with positions whose channels fill the gaps that strides leave. Pure.

On the raster of the input, a value after strides of 2 has positions at every second row and column. The places between
them, `cells`, hold other channels, or copies of the value where no channels are left:

    slot = block * (slots per block) + place on the raster of (step * position + cell)

Channels are numbered through the blocks first, then through the cells of the first axis, then through those of the
next. So a feature map of half the size and twice the channels fills a ciphertext as one of full size does, and a stride
costs no rotation of its own ("multiplexed packing", Lee and others 2022; the copies and their use are ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from compress.network import Shape
from secure.layout.packing import EMPTY, SlotMap, next_power_of_two
from secure.stages.grids import Grid

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Multiplexed:
    """Where a value lies. grid: of its positions. raster: the shape that all grids fit on. slots: per ciphertext."""

    grid: Grid
    raster: Shape
    slots: int

    @property
    def block(self) -> int:
        """Slots of one block: one raster, padded to a power of two."""
        return next_power_of_two(prod(self.raster))

    @property
    def blocks(self) -> int:
        """Blocks of a ciphertext."""
        return self.slots // self.block

    @property
    def channel_blocks(self) -> int:
        """How many blocks in a row hold different channels. The other blocks repeat them."""
        return min(next_power_of_two(self.grid.channels), self.blocks)

    @cached_property
    def cells(self) -> Shape:
        """By axis, how many cells beside a position hold different channels. The other cells repeat them."""
        left, result = -(-self.grid.channels // self.channel_blocks), []
        for step in self.grid.steps:
            result.append(min(step, left))
            left = -(-left // result[-1])
        return tuple(result)

    @property
    def capacity(self) -> int:
        """The most channels of one ciphertext."""
        return self.channel_blocks * prod(self.cells)

    @property
    def ciphertexts(self) -> int:
        return -(-self.grid.channels // self.capacity)

    @cached_property
    def pitch(self) -> Shape:
        """By axis, slots between neighbours on the raster."""
        return tuple(prod(self.raster[axis + 1 :]) for axis in range(len(self.raster)))

    def channel(self, ciphertext: int, block: Places, cell: Places) -> Places:
        """The channel in a block and in a cell (numbered over all axes), which may be one that the value lacks."""
        return np.asarray(ciphertext * self.capacity + cell * self.channel_blocks + block % self.channel_blocks)

    @cached_property
    def slot_map(self) -> SlotMap:
        """(ciphertexts, slots): the feature in every slot, numbered channel by channel."""
        position, cell = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        inside = np.ones(1, dtype=bool)
        for size, step, cells, extent in zip(self.grid.sizes, self.grid.steps, self.cells, self.raster, strict=True):
            here = np.arange(extent)
            position = np.add.outer(position * size, here // step).ravel()
            cell = np.add.outer(cell * cells, here % step % cells).ravel()
            inside = np.logical_and.outer(inside, here // step < size).ravel()
        result = np.full((self.ciphertexts, self.blocks, self.block), EMPTY, dtype=np.int32)
        for number in range(self.ciphertexts):
            channel = self.channel(number, np.arange(self.blocks)[:, None], cell)
            held = inside & (channel < self.grid.channels)
            features = channel * prod(self.grid.sizes) + position
            result[number, :, : len(cell)] = np.where(held, features, EMPTY)
        return result.reshape(self.ciphertexts, self.slots)
