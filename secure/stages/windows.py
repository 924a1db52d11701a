"""Maps between values with positions that are convolutions: the same window of weights at every position. Pure.

A stage's map is a sparse matrix, whatever nodes it was combined from. Where it turns out to be a convolution, it is
known by its window alone, which is as many times smaller as there are positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from compress.network import Shape
from secure.stages.grids import Grid

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Window:
    """A convolution: output position p reads the input positions stride * p + low + tap, along every axis.

    weights: (output channels, input channels, *taps). low, stride: by axis. Positions outside the input count as zeros.
    """

    weights: Array
    low: tuple[int, ...]
    stride: Shape

    @property
    def taps(self) -> Shape:
        """How many input positions the window covers along each axis."""
        return self.weights.shape[2:]


def window_of(matrix: sparse.csr_matrix, before: Grid, after: Grid) -> Window | None:
    """The window of a matrix (channels * positions after, channels * positions before); None if it is no convolution.

    before, after: where the positions of both values lie. Those of the result must lie on every n-th of the input's.
    """
    strides = [divmod(own, step) for own, step in zip(after.steps, before.steps, strict=True)]
    if not matrix.nnz or any(rest or not stride for stride, rest in strides):
        return None
    stride = tuple(step for step, _ in strides)
    entries = matrix.tocoo()
    row, place = np.divmod(entries.row, prod(after.sizes))
    column, origin = np.divmod(entries.col, prod(before.sizes))
    own, read = np.unravel_index(place, after.sizes), np.unravel_index(origin, before.sizes)
    offsets = [there - step * here for here, there, step in zip(own, read, stride, strict=True)]
    low = tuple(int(offset.min()) for offset in offsets)
    taps = tuple(int(offset.max()) - start + 1 for offset, start in zip(offsets, low, strict=True))
    shape = (after.channels, before.channels, *taps)
    if prod(shape) > max(4 * matrix.nnz, 1 << 12):
        return None  # far more weights than entries: the window of no convolution
    weights = np.zeros(shape)
    where = (row, column, *(offset - start for offset, start in zip(offsets, low, strict=True)))
    weights[where] = entries.data
    if not np.array_equal(weights[where], entries.data):
        return None
    window = Window(weights, low, stride)
    return window if _entries(window, before.sizes, after.sizes) == matrix.nnz else None


def _entries(window: Window, before: Shape, after: Shape) -> int:
    """How many entries the matrix of a window has: those that read positions outside the input are left out."""
    inside = np.ones(1, dtype=np.int64)
    for size, out, start, taps, step in zip(before, after, window.low, window.taps, window.stride, strict=True):
        source = np.arange(out)[:, None] * step + start + np.arange(taps)
        inside = np.multiply.outer(inside, ((source >= 0) & (source < size)).sum(axis=0))
    return int(np.sum((window.weights != 0) * inside.reshape(window.taps)))
