"""The pyramid of shifted pools: which windows every cell of every channel lies in.

A pool joins channels into groups, and cuts the score map of a group into windows of one size. A shift moves the
windows by half a window, so that boxes on two sides of an edge meet. One row stands for one pool with one shift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cipherpress.detection.anchors import Anchors, half_up
from cipherpress.detection.recovery import Places
from compress.errors import ConfigError

#: What a pool joins: nothing, all ratios of a scale, all scales of a ratio, all channels.
POOLS = ("single", "cross-ratio", "cross-scale", "cross-all")
#: Shifts by name: whether windows move along x and along y.
SHIFTS: Mapping[str, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        "none": ((0, 0),),
        "diagonal": ((0, 0), (1, 1)),
        "three": ((0, 0), (1, 0), (0, 1), (1, 1)),
    }
)


@dataclass(frozen=True)
class Windows:
    """Numbers of windows by row and place.

    by_column (channels * columns, rows) and by_line (channels * lines, rows): their sum is the number of the window
    that a cell of a channel lies in, in this row. No two rows share a number; all numbers are below `count`.
    """

    by_column: NDArray[np.int32]
    by_line: NDArray[np.int32]
    count: int
    columns: int
    lines: int

    def keys(self, found: Places) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each box reads `by_column` and `by_line`, (n,) each."""
        return found.channel * self.columns + found.column, found.channel * self.lines + found.row

    def of(self, found: Places) -> NDArray[np.int32]:
        """The window of every box in every row, (n, rows)."""
        column, line = self.keys(found)
        return self.by_column[column] + self.by_line[line]


def check_pyramid(pools: Sequence[str], shifts: str) -> None:
    """Raises: ConfigError for unknown pools or shifts."""
    if isinstance(pools, str) or not pools or any(pool not in POOLS for pool in pools):
        raise ConfigError("pools", pools, f"a sequence of {', '.join(POOLS)}")
    if shifts not in SHIFTS:
        raise ConfigError("shifts", shifts, ", ".join(SHIFTS))


@lru_cache(maxsize=64)
def windows(anchors: Anchors, pools: tuple[str, ...], shifts: str) -> Windows:
    """The windows of a pyramid, pool after pool, each with all shifts.

    A pool's kernel is the smallest of the channels that it joins. A window number is floor((cell + h) / k) with h = 0
    or, shifted, k / 2 rounded half up. Derived from the published pools; which shifts the paper takes is not known.
    Raises: ConfigError.
    """
    check_pyramid(pools, shifts)
    by_column, by_line, count = [], [], 0
    for pool in pools:
        for shift in SHIFTS[shifts]:
            across, down, after = _row(anchors, pool, shift, count)
            by_column.append(across)
            by_line.append(down)
            count = after
    across_rows, down_rows = (np.array(table, dtype=np.int32).T.copy() for table in (by_column, by_line))
    return Windows(across_rows, down_rows, count, *anchors.cells)


def _row(anchors: Anchors, pool: str, shift: tuple[int, int], first: int) -> tuple[list[int], list[int], int]:
    """One pool with one shift: the addends of columns and of lines, channel by channel, and the number after the last
    window; `first` is that of the first window."""
    columns, lines = anchors.cells
    groups = [_group(pool, channel, len(anchors.ratios)) for channel in range(anchors.channels)]
    kernels: dict[int, tuple[int, int]] = {}
    for group, (width, height) in zip(groups, anchors.kernels(), strict=True):
        narrowest, lowest = kernels.get(group, (width, height))
        kernels[group] = min(narrowest, width), min(lowest, height)
    starts: dict[int, int] = {}
    by_column: list[int] = []
    by_line: list[int] = []
    for group in groups:
        width, height = kernels[group]
        across = _windows(columns, width, shift[0])
        down = _windows(lines, height, shift[1])
        if group not in starts:
            starts[group] = first
            first += (across[-1] + 1) * (down[-1] + 1)
        by_column += across
        by_line += [starts[group] + number * (across[-1] + 1) for number in down]
    return by_column, by_line, first


def _windows(cells: int, kernel: int, shifted: int) -> list[int]:
    return [(cell + shifted * half_up(kernel / 2)) // kernel for cell in range(cells)]


def _group(pool: str, channel: int, ratios: int) -> int:
    """The group of a channel: channels of one group share their windows."""
    scale, ratio = divmod(channel, ratios)
    return {"single": channel, "cross-ratio": scale, "cross-scale": ratio, "cross-all": 0}[pool]
