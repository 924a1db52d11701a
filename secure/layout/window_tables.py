"""Convolutions between multiplexed values as diagonals, written out from their windows when they are read. Pure.

One rotation moves all positions of all channels by the same number of blocks and of places on the raster. So a
convolution has a diagonal for every shift of blocks and every shift along each axis that some output needs. Where the
input has copies, an output has a choice of shifts; as few different ones are taken as a greedy cover finds (ours).
The diagonals of a convolution of C channels have C^2 times taps different numbers, however many slots they have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from secure.layout.diagonals import DiagonalTable
from secure.layout.multiplexed import Multiplexed
from secure.layout.sparse_diagonals import DiagonalKey
from secure.stages.windows import Window

Array = NDArray[np.float64]
#: A place of a diagonal in its window: a shift of blocks, and the number of a shift along each axis.
Shift = tuple[int, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class AxisShifts:
    """The shifts along one axis.

    shifts: places on the raster. tap, cell: for each shift and each cell of the output, the tap that is read through it
    and the cell of its channel, (shifts, output step); tap is -1 where nothing is read.
    """

    shifts: tuple[int, ...]
    tap: NDArray[np.int64]
    cell: NDArray[np.int64]


def axis_shifts(step: int, cells: int, stride: int, low: int, taps: int) -> AxisShifts:
    """The fewest shifts, as a greedy cover finds them.

    step, cells: of the input (`Multiplexed`). stride, low, taps: of the window. An output in cell a at position p lies
    at step * stride * p + a; it reads, for every tap t and every cell c of the input's channels, a copy of channel cell
    c at step * (stride * p + low + t) + (c, c + cells, c + 2 cells, ...).
    """
    outputs = step * stride
    open_: dict[tuple[int, int, int], set[int]] = {}
    for out, tap, cell in product(range(outputs), range(taps), range(cells)):
        open_[out, tap, cell] = {step * (low + tap) + copy - out for copy in range(cell, step, cells)}
    everywhere = sorted({shift for found in open_.values() for shift in found}, key=lambda shift: (abs(shift), shift))
    chosen: list[int] = []
    rows: list[NDArray[np.int64]] = []
    while open_:
        best = max(everywhere, key=lambda shift: sum(shift in found for found in open_.values()))
        met = [place for place, found in open_.items() if best in found]
        row = np.full((2, outputs), -1)
        for place in met:
            row[:, place[0]] = place[1:]
            del open_[place]
        chosen.append(best)
        rows.append(row)
    both = np.stack(rows)
    return AxisShifts(tuple(chosen), both[:, 0], both[:, 1])


@dataclass(frozen=True, eq=False)
class WindowDiagonals(Mapping[DiagonalKey, Array]):
    """The diagonals of one convolution from an atom, a read-only mapping to (slots,). Every look-up makes a new one."""

    window: Window
    atom: int
    source: Multiplexed
    target: Multiplexed

    @cached_property
    def _axes(self) -> tuple[AxisShifts, ...]:
        parts = zip(
            self.source.grid.steps,
            self.source.cells,
            self.window.stride,
            self.window.low,
            self.window.taps,
            strict=True,
        )
        return tuple(axis_shifts(*part) for part in parts)

    @cached_property
    def _places(self) -> Mapping[DiagonalKey, tuple[Shift, ...]]:
        """By key, the shifts whose diagonals it has. On a small raster two of them may be the same rotation."""
        found: dict[DiagonalKey, list[Shift]] = {}
        numbers = [range(len(axis.shifts)) for axis in self._axes]
        for output, read in product(range(self.target.ciphertexts), range(self.source.ciphertexts)):
            for number in product(*numbers):
                moved = sum(
                    axis.shifts[own] * pitch
                    for axis, own, pitch in zip(self._axes, number, self.source.pitch, strict=True)
                )
                for block in np.flatnonzero(self._used(output, read, number)).tolist():
                    rotation = (block * self.source.block + moved) % self.source.slots
                    found.setdefault(DiagonalKey(output, self.atom, read, rotation), []).append((block, number))
        return {key: tuple(found[key]) for key in sorted(found)}

    def _used(self, output: int, read: int, number: tuple[int, ...]) -> NDArray[np.bool_]:
        """Which shifts of blocks have a weight that is not zero, (channel blocks of the source,)."""
        shifts = np.arange(self.source.channel_blocks)[:, None]
        return np.asarray(self._weights(output, read, shifts, number).any(axis=tuple(range(1, 2 + len(number)))))

    def _weights(self, output: int, read: int, shifts: NDArray[np.int64], number: tuple[int, ...]) -> Array:
        """The weights by shift of blocks, block and cell of the output along each axis, (shifts, blocks, *steps)."""
        rank = len(number)
        blocks = np.arange(self.target.blocks)
        own, there = np.zeros((1,) * rank, np.int64), np.zeros((1,) * rank, np.int64)
        valid, taps = np.ones((1,) * rank, dtype=bool), []
        for axis, (shift, chosen) in enumerate(zip(self._axes, number, strict=True)):
            shape = [1] * rank
            shape[axis] = -1
            tap, cell = shift.tap[chosen].reshape(shape), shift.cell[chosen].reshape(shape)
            out = np.arange(tap.size).reshape(shape)
            own = own * self.target.cells[axis] + out % self.target.cells[axis]
            there = there * self.source.cells[axis] + np.maximum(cell, 0)
            valid = valid & (tap >= 0)
            taps.append(np.maximum(tap, 0))
        places = (slice(None), slice(None), *(None,) * rank)
        row = self.target.channel(output, np.broadcast_to(blocks, (len(shifts), len(blocks)))[places], own)
        column = self.source.channel(read, (blocks + shifts)[places], there)
        held = valid & (row < self.target.grid.channels) & (column < self.source.grid.channels)
        weights = self.window.weights
        found = weights[np.minimum(row, weights.shape[0] - 1), np.minimum(column, weights.shape[1] - 1), *taps]
        return np.where(held, found, 0.0)

    def _inside(self, axis: int, number: int) -> NDArray[np.bool_]:
        """Where along an axis of the raster an output lies whose input is no padding."""
        here = np.arange(self.target.raster[axis])
        position, cell = np.divmod(here, self.target.grid.steps[axis])
        origin = position * self.window.stride[axis] + self.window.low[axis] + self._axes[axis].tap[number][cell]
        return (position < self.target.grid.sizes[axis]) & (origin >= 0) & (origin < self.source.grid.sizes[axis])

    def __getitem__(self, key: DiagonalKey) -> Array:
        result = np.zeros((self.target.blocks, self.target.block))
        rasters = result[:, : prod(self.target.raster)].reshape(self.target.blocks, *self.target.raster)
        for block, number in self._places[key]:
            weights = self._weights(key.output, key.input, np.array([[block]]), number)[0]
            for axis, own in enumerate(number):
                here = np.arange(self.target.raster[axis])
                weights = np.take(weights, here % self.target.grid.steps[axis], axis=axis + 1)
                shape = [1] * (1 + len(number))
                shape[axis + 1] = -1
                weights = weights * self._inside(axis, own).reshape(shape)
            rasters += weights
        return result.reshape(-1)

    def __iter__(self) -> Iterator[DiagonalKey]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places


@dataclass(frozen=True, eq=False)
class JoinedDiagonals(Mapping[DiagonalKey, Array]):
    """The diagonals of several atoms. parts: by atom."""

    parts: Mapping[int, WindowDiagonals]

    def __getitem__(self, key: DiagonalKey) -> Array:
        return self.parts[key.atom][key]

    def __iter__(self) -> Iterator[DiagonalKey]:
        return (key for part in self.parts.values() for key in part)

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, DiagonalKey) and key.atom in self.parts and key in self.parts[key.atom]


def window_table(
    windows: Mapping[int, Window], sources: Mapping[int, Multiplexed], target: Multiplexed
) -> DiagonalTable:
    """The table of convolutions from several atoms onto one multiplexed value. It has no folds."""
    parts = {atom: WindowDiagonals(window, atom, sources[atom], target) for atom, window in windows.items()}
    return DiagonalTable(JoinedDiagonals(parts), (), target.slot_map)
