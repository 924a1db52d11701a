"""Values with positions (feature maps) in blocks of slots: one channel per block, its positions inside. Pure.

    slot = quarter * (blocks per quarter * slots per block) + (block of the channel) * (slots per block) + inner place

Quarters are used where a later layer pools. The positions of one pooling window lie in different quarters, at the same
inner place. Adding the value rotated by one quarter, by two and so on pools all windows at once, and leaves a copy of
the result in every quarter (ours). There are as many "quarters" as positions in a window: four for 2 x 2 pooling, one
without pooling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from compress.network import Shape
from secure.layout.packing import EMPTY, SlotMap, next_power_of_two
from secure.stages.stages import Grid

Places = NDArray[np.int64]


@dataclass(frozen=True)
class PositionPlaces:
    """Where the positions of one channel lie.

    sizes: of the grid of positions. pitch: slots between neighbours along each axis. quarters: the number of quarters.
    quarter: for each position, the quarter it lies in. inner: for each position, its place inside a block. Both are
    (positions,).
    """

    sizes: Shape
    pitch: Shape
    quarters: int
    quarter: Places
    inner: Places

    @property
    def block(self) -> int:
        """The slots that a block needs for these places: a power of two."""
        return next_power_of_two(int(self.inner.max()) + 1)

    @property
    def collide(self) -> bool:
        """Whether two positions have the same place, as with more positions per row than the map reads."""
        return len(np.unique(self.inner + self.quarter * self.block)) < len(self.inner)

    def pooled(self, window: int) -> PositionPlaces:
        """The places after pooling: one position per window, at the inner place that its positions share."""
        sizes = tuple(size // window for size in self.sizes)
        kept = np.ravel_multi_index(np.meshgrid(*(np.arange(n) * window for n in sizes), indexing="ij"), self.sizes)
        inner = self.inner[kept.ravel()]
        return PositionPlaces(sizes, self.pitch, 1, np.zeros_like(inner), inner)

    def strided(self, sizes: Shape, stride: Shape) -> PositionPlaces:
        """The places of a strided map's result: position i lies where position i * stride of the input lies."""
        pitch = tuple(own * step for own, step in zip(self.pitch, stride, strict=True))
        axes = np.meshgrid(*(np.arange(size) * own for size, own in zip(sizes, pitch, strict=True)), indexing="ij")
        inner = np.sum(axes, axis=0).ravel()
        return PositionPlaces(sizes, pitch, 1, np.zeros_like(inner), inner)


def compact_places(sizes: Shape, window: int = 1) -> PositionPlaces:
    """The places of a grid's positions in C order, without gaps.

    window: the side of a pooling window. Each position of a window lies in a quarter of its own.
    """
    pooled = tuple(size // window for size in sizes)
    position = np.stack(np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij")).reshape(len(sizes), -1)
    inner = np.asarray(np.ravel_multi_index(tuple(position // window), pooled))
    quarter = np.asarray(np.ravel_multi_index(tuple(position % window), (window,) * len(sizes)))
    pitch = tuple(prod(pooled[axis + 1 :]) for axis in range(len(sizes)))
    return PositionPlaces(sizes, pitch, window ** len(sizes), quarter, inner)


@dataclass(frozen=True)
class Blocks:
    """A value in blocks.

    channels: the channel in every block, or EMPTY, (ciphertexts, blocks of one quarter). block: slots per block.
    places: where positions lie inside the blocks and in which quarters.
    """

    channels: SlotMap
    block: int
    places: PositionPlaces

    @property
    def slots(self) -> int:
        """Slots per ciphertext."""
        return self.channels.shape[1] * self.block * self.places.quarters

    @cached_property
    def slot_map(self) -> SlotMap:
        """(ciphertexts, slots): the feature in every slot, numbered channel by channel."""
        positions = len(self.places.inner)
        blocks = self.channels[..., None]
        features = np.where(blocks == EMPTY, EMPTY, blocks * positions + np.arange(positions)).astype(np.int32)
        return self.scattered(features, EMPTY)

    def scattered(self, values: NDArray[np.generic], fill: float) -> NDArray:
        """Values (vectors, blocks, positions) laid out in slots, (vectors, slots); `fill` in all other slots."""
        count, blocks = values.shape[:2]
        result = np.full((count, self.places.quarters, blocks, self.block), fill, dtype=values.dtype)
        for quarter in range(self.places.quarters):
            held = self.places.quarter == quarter
            result[:, quarter][:, :, self.places.inner[held]] = values[..., held]
        return result.reshape(count, self.slots)

    def pooled(self, window: int) -> Blocks:
        """The layout after the quarters are added up. Every quarter holds the sums and counts as further blocks."""
        return replace(
            self, channels=np.tile(self.channels, (1, self.places.quarters)), places=self.places.pooled(window)
        )

    @property
    def quarter_folds(self) -> tuple[int, ...]:
        """The folds, in slots, that add up the quarters. Each is twice the one before it."""
        quarter = self.channels.shape[1] * self.block
        return tuple(quarter << k for k in range(self.places.quarters.bit_length() - 1))


def pooling_window(columns: sparse.csr_matrix, grid: Grid) -> int:
    """The side of the largest pooling window of a map: all weights of every window are equal. A power of two.

    columns: the map's matrix, (rows, features of the grid). 1 means that the map does not pool.
    """
    best = 1
    window = 2
    entries = columns.tocoo()
    while all(size % window == 0 for size in grid.sizes):
        owner = entries.row.astype(np.int64) * columns.shape[1] + _window_of(entries.col, grid, window)
        order = np.argsort(owner, kind="stable")
        starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
        counts = np.diff(starts, append=len(owner))
        values = entries.data[order]
        if np.any(counts != window ** len(grid.sizes)) or np.any(values != np.repeat(values[starts], counts)):
            break
        best, window = window, 2 * window
    return best


def pooled_columns(columns: sparse.csr_matrix, grid: Grid, window: int) -> sparse.csr_matrix:
    """The matrix of a pooling map if it reads the sums of windows: (rows, channels * windows)."""
    every = np.arange(grid.channels * prod(grid.sizes)).reshape(grid.channels, *grid.sizes)
    corners = every[(slice(None), *(slice(None, None, window),) * len(grid.sizes))]
    return columns[:, corners.ravel()]


def _window_of(features: NDArray[np.integer], grid: Grid, window: int) -> NDArray[np.int64]:
    """The feature in the first corner of each feature's pooling window."""
    channel, *position = np.unravel_index(features, (grid.channels, *grid.sizes))
    corner = (channel, *(axis // window * window for axis in position))
    return np.asarray(np.ravel_multi_index(corner, (grid.channels, *grid.sizes)), dtype=np.int64)
