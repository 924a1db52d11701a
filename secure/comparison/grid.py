"""Cells of a grid beside all their neighbours in the slots of one ciphertext. Derived.

The grid has a border of empty cells, so that a neighbour is found at a fixed distance everywhere. A segment of slots
holds the grid once; as many segments as there are offsets hold the grid moved by each of them. Offsets are pairs (dy,
dx). A rotation by one cell and one segment, repeated, makes the copies along x, and another one those along y. So
4 reach + 1 rotations by three different steps make (2 reach + 1)^2 moved copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compress.checks import is_whole
from compress.errors import ConfigError, InputShapeError, SlotOverflowError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PairGrid:
    """A grid of `lines` x `columns` cells; two cells are neighbours if they share a window of `kernel` x `kernel` cells
    for any of the shifts, as `cipherpress.detection.pools` numbers windows.

    shifts: of windows along y and x, in cells. slots: of a ciphertext.
    Raises: ConfigError; SlotOverflowError where the copies do not fit.
    """

    lines: int
    columns: int
    kernel: int
    shifts: tuple[tuple[int, int], ...]
    slots: int

    def __post_init__(self) -> None:
        for field in ("lines", "columns", "kernel", "slots"):
            if not (is_whole(getattr(self, field)) and getattr(self, field) >= 1):
                raise ConfigError(field, getattr(self, field), "a whole number of at least 1")
        if not self.shifts:
            raise ConfigError("shifts", self.shifts, "at least one pair of shifts, such as ((0, 0),)")
        if self.slots & (self.slots - 1):
            raise ConfigError("slots", self.slots, "a power of two")
        needed = self.segments * (self.lines + 2 * self.reach) * self.pitch
        if self.segment * self.segments < needed:
            raise SlotOverflowError(
                None,
                f"{self.segments} copies of a grid of {self.lines} x {self.columns} cells take {needed:,} slots and a "
                f"ciphertext has {self.slots:,}; take a larger ring, a smaller grid or a smaller kernel",
            )

    @property
    def reach(self) -> int:
        """The largest distance of neighbours along an axis."""
        return self.kernel - 1

    @property
    def width(self) -> int:
        """Offsets along an axis."""
        return 2 * self.reach + 1

    @property
    def pitch(self) -> int:
        """Slots from one line of cells to the next."""
        return self.columns + 2 * self.reach

    @property
    def segment(self) -> int:
        """Slots of a segment. All segments fill the ciphertext, so a rotation takes the last one to the first."""
        return self.slots // self.segments

    @property
    def segments(self) -> int:
        """Segments, a power of two."""
        return 1 << (self.width**2 - 1).bit_length()

    @cached_property
    def cell_slots(self) -> NDArray[np.int64]:
        """The slot of every cell in the first segment, (lines, columns)."""
        line, column = np.arange(self.lines)[:, None], np.arange(self.columns)[None]
        return (line + self.reach) * self.pitch + column + self.reach

    @cached_property
    def neighbours(self) -> NDArray[np.bool_]:
        """Whether a cell has a neighbour at each offset, (width^2, lines, columns); none is its own neighbour."""
        found = np.zeros((self.width, self.width, self.lines, self.columns), dtype=np.bool_)
        line, column = np.arange(self.lines)[:, None], np.arange(self.columns)[None]
        for dy in range(-self.reach, self.reach + 1):
            for dx in range(-self.reach, self.reach + 1):
                inside = (0 <= line + dy) & (line + dy < self.lines) & (0 <= column + dx) & (column + dx < self.columns)
                for y, x in self.shifts:
                    met = self._window(line, y) == self._window(line + dy, y)
                    met = met & (self._window(column, x) == self._window(column + dx, x))
                    found[dy + self.reach, dx + self.reach] |= met & inside
        found[self.reach, self.reach] = False
        return found.reshape(self.width**2, self.lines, self.columns)

    def _window(self, cell: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
        return (cell + shift) // self.kernel

    @cached_property
    def mask(self) -> Array:
        """1 in every slot that compares a cell with a neighbour, (slots,)."""
        return self.spread(self.neighbours.astype(np.float64))

    @cached_property
    def precedence(self) -> Array:
        """Which of two equal cells wins: 1 where the cell comes before its neighbour, -1 behind it, 0 elsewhere."""
        order = np.sign(np.arange(self.width**2) - self.width**2 // 2)
        return self.spread(self.neighbours.astype(np.float64) * order[:, None, None])

    def spread(self, values: Array) -> Array:
        """Values by offset (width^2, lines, columns) in the slots of their segments."""
        placed = np.zeros(self.slots)
        first = np.arange(self.width**2)[:, None, None] * self.segment
        placed[first + self.cell_slots] = values
        return placed

    def pack(self, scores: Array) -> Array:
        """A grid of scores (lines, columns) in the first segment. Raises: InputShapeError."""
        if scores.shape != (self.lines, self.columns):
            raise InputShapeError(f"scores: shape {scores.shape}; the grid is {self.lines} x {self.columns}")
        placed = np.zeros(self.slots)
        placed[self.cell_slots] = scores
        return placed

    @property
    def moves(self) -> tuple[int, int, int]:
        """Steps of the rotations that make the moved copies: along x and along y, each repeated once per offset after
        the first, and one that takes offset 0, which lies `reach` cells down and right of its place, to its place."""
        return 1 - self.segment, self.pitch - self.width * self.segment, -self.reach * (self.pitch + 1)

    @property
    def doublings(self) -> Sequence[int]:
        """Rotations that copy the first segment to all, and that bring all segments together in every one."""
        return [self.segment << step for step in range(self.segments.bit_length() - 1)]
