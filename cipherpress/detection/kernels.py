"""The compiled loops: the place of every box, the best box of every window, and GreedyNMS's chain."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def cells_of(
    boxes: NDArray[np.float64], stride: float, columns: int, lines: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Column and row of the cell that each box (n, 4) has its centre in, or the nearest one inside the image."""
    column = np.empty(len(boxes), dtype=np.int64)
    row = np.empty(len(boxes), dtype=np.int64)
    for box in range(len(boxes)):
        x = np.floor((boxes[box, 0] + boxes[box, 2]) / (2 * stride))
        y = np.floor((boxes[box, 1] + boxes[box, 3]) / (2 * stride))
        column[box] = int(min(max(x, 0.0), columns - 1.0))
        row[box] = int(min(max(y, 0.0), lines - 1.0))
    return column, row


@numba.njit(cache=True, nogil=True)
def channels_of(
    boxes: NDArray[np.float64], scale_edges: NDArray[np.float64], ratio_edges: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The channel of each box (n, 4). Edges lie between neighbouring areas and ratios, ascending."""
    channel = np.empty(len(boxes), dtype=np.int64)
    for box in range(len(boxes)):
        width, height = boxes[box, 2] - boxes[box, 0], boxes[box, 3] - boxes[box, 1]
        scale = 0
        for edge in scale_edges:
            scale += width * height > edge
        ratio = 0
        for edge in ratio_edges:
            ratio += height > width * edge
        channel[box] = scale * (len(ratio_edges) + 1) + ratio
    return channel


@numba.njit(cache=True, nogil=True)
def best_of_windows(
    by_column: NDArray[np.int32],
    by_line: NDArray[np.int32],
    count: int,
    column: NDArray[np.int64],
    line: NDArray[np.int64],
    by_class: NDArray[np.intp],
    classes: NDArray[np.int64],
    values: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], bool]:
    """Whether each box (n,) has the largest value of its window in every row, and whether equal values met.

    by_column, by_line, count: of `Windows`. column, line: where each box reads them. by_class: indices class by class.
    Time n * rows, memory `count`.
    """
    stays = np.ones(len(values), dtype=np.bool_)
    best = np.empty(count)
    rows = by_column.shape[1]
    tied = False
    start = 0
    while start < len(values):
        end = _end_of_class(by_class, classes, start)
        best[:] = -np.inf
        for box in by_class[start:end]:
            across, down, value = by_column[column[box]], by_line[line[box]], values[box]
            for row in range(rows):
                window = across[row] + down[row]
                tied |= best[window] == value
                best[window] = max(best[window], value)
        for box in by_class[start:end]:
            across, down, value = by_column[column[box]], by_line[line[box]], values[box]
            for row in range(rows):
                if best[across[row] + down[row]] > value:
                    stays[box] = False
                    break
        start = end
    return stays, tied


@numba.njit(cache=True, nogil=True)
def best_in_turn(
    by_column: NDArray[np.int32],
    by_line: NDArray[np.int32],
    count: int,
    column: NDArray[np.int64],
    line: NDArray[np.int64],
    by_class: NDArray[np.intp],
    classes: NDArray[np.int64],
    values: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """As `best_of_windows`, but a box that lost in one row takes no part in later ones. No two values are equal."""
    stays = np.ones(len(values), dtype=np.bool_)
    best = np.empty(count)
    start = 0
    while start < len(values):
        end = _end_of_class(by_class, classes, start)
        best[:] = -np.inf
        for row in range(by_column.shape[1]):
            for box in by_class[start:end]:
                if stays[box]:
                    window = by_column[column[box], row] + by_line[line[box], row]
                    best[window] = max(best[window], values[box])
            for box in by_class[start:end]:
                if best[by_column[column[box], row] + by_line[line[box], row]] > values[box]:
                    stays[box] = False
        start = end
    return stays


@numba.njit(cache=True, nogil=True)
def _end_of_class(by_class: NDArray[np.intp], classes: NDArray[np.int64], start: int) -> int:
    """The first place after `start` that holds a box of another class."""
    end = start + 1
    while end < len(by_class) and classes[by_class[end]] == classes[by_class[start]]:
        end += 1
    return end


@numba.njit(cache=True, nogil=True)
def greedy_chain(
    boxes: NDArray[np.float64], classes: NDArray[np.int64], order: NDArray[np.intp], overlap: float
) -> NDArray[np.bool_]:
    """Which boxes (n, 4) stay. order: indices class by class, the best box of a class first."""
    count = len(boxes)
    stays = np.zeros(count, dtype=np.bool_)
    kept = np.empty((count, 4))
    kept_areas = np.empty(count)
    filled, current = 0, -1
    for box in order:
        if classes[box] != current:
            filled, current = 0, classes[box]
        x1, y1, x2, y2 = boxes[box, 0], boxes[box, 1], boxes[box, 2], boxes[box, 3]
        area = (x2 - x1) * (y2 - y1)
        alone = True
        for other in range(filled):
            width = min(x2, kept[other, 2]) - max(x1, kept[other, 0])
            height = min(y2, kept[other, 3]) - max(y1, kept[other, 1])
            if width > 0 and height > 0:
                shared = width * height
                if shared > overlap * (area + kept_areas[other] - shared):
                    alone = False
                    break
        if alone:
            stays[box] = True
            kept[filled] = boxes[box]
            kept_areas[filled] = area
            filled += 1
    return stays
