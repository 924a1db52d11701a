"""Grid: where the positions of a value lie on the input's raster, and the grid of each linear node's value. Pure.

A grid decides where a value is laid out, never what it is: a node whose value has no obvious grid gets None, and the
value is then laid out as a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compress.network import AvgPool, AxisMap, Concat, Conv, ConvTranspose, Dense, Gather, Node, Permute, Shape


@dataclass(frozen=True)
class Grid:
    """Where the positions of a value lie on the input's raster.

    channels, sizes: the shape of the value, (channels, *sizes). steps: the distance of neighbours along each axis, in
    positions of the input. origin: the shape (channels, *spatial) of the input.
    """

    channels: int
    sizes: Shape
    steps: Shape
    origin: Shape

    @property
    def extent(self) -> Shape:
        """How many positions of the input the value covers along each axis."""
        return tuple(size * step for size, step in zip(self.sizes, self.steps, strict=True))


def root_grid(shape: Shape) -> Grid | None:
    """The grid of an input (channels, *spatial) with one or two spatial axes. None for any other shape."""
    return Grid(shape[0], shape[1:], (1,) * (len(shape) - 1), shape) if len(shape) in (2, 3) else None


def grid_after(node: Node, grid: Grid | None) -> Grid | None:
    """The grid of a linear node's value, from the grid of what the node reads."""
    if grid is None or isinstance(node, (Dense, Permute)):
        return None
    match node:
        case Conv() | AvgPool():
            return _stepped(node.shape, grid, node.stride)
        case ConvTranspose():
            return _stepped(node.shape, grid, tuple(-stride for stride in node.stride))
        case AxisMap():
            return _axis_grid(node, grid)
        case Gather():
            return _gathered_grid(node, grid)
    return grid


def joined_grid(node: Concat, grids: Sequence[Grid | None]) -> Grid | None:
    """The grid of values that lie side by side along their channels, if their positions are the same ones."""
    first = grids[0]
    if (
        node.axis != 0
        or first is None
        or any(grid is None or replace(grid, channels=first.channels) != first for grid in grids)
    ):
        return None
    return replace(first, channels=node.shape[0])


def same_grid(grid: Grid | None, shape: Shape) -> Grid | None:
    """The grid if a reshaped value still has its channels and positions, else None."""
    return grid if grid is not None and shape == (grid.channels, *grid.sizes) else None


def _stepped(shape: Shape, grid: Grid, strides: Shape) -> Grid | None:
    """The grid with its steps multiplied by strides, or divided by those that are negative; None where one is odd."""
    steps = []
    for step, stride in zip(grid.steps, strides, strict=True):
        if stride < 0 and step % -stride:
            return None
        steps.append(step * stride if stride > 0 else step // -stride)
    return Grid(shape[0], shape[1:], tuple(steps), grid.origin)


def _axis_grid(node: AxisMap, grid: Grid) -> Grid | None:
    """An axis map over channels keeps positions. Over a spatial axis it is a stride or a scale if one size divides."""
    if node.axis == 0:
        return replace(grid, channels=node.shape[0])
    strides = [1] * len(grid.sizes)
    before, after = grid.sizes[node.axis - 1], node.shape[node.axis]
    if before % after and after % before:
        return None
    strides[node.axis - 1] = before // after if before >= after else -(after // before)
    return _stepped(node.shape, grid, tuple(strides))


def _gathered_grid(node: Gather, grid: Grid) -> Grid | None:
    """Slices, padding and nearest interpolation keep positions: neighbours lie a fixed number of positions apart."""
    if len(node.shape) != 1 + len(grid.sizes):
        return None
    source = np.where(node.indices < 0, 0, node.indices)
    known = (node.indices >= 0).reshape(node.shape)
    places = np.unravel_index(source, (grid.channels, *grid.sizes))
    strides = [_stride(places[axis].reshape(node.shape), known, axis) for axis in range(1, len(node.shape))]
    return None if 0 in strides else _stepped(node.shape, grid, tuple(strides))


def _stride(place: NDArray[np.int64], known: NDArray[np.bool_], axis: int) -> int:
    """How many places of the source neighbours along an axis lie apart; -n where n read one place; 0 where mixed.

    place: the source's position along the axis that each element reads, valid where known.
    """
    both = np.take(known, range(1, known.shape[axis]), axis) & np.take(known, range(known.shape[axis] - 1), axis)
    apart = np.diff(place, axis=axis)[both]
    if not len(apart):
        return 1
    usual = float(np.median(apart))
    if usual >= 1:
        return int(usual)
    forward = int((apart == 1).sum())
    return -round(len(apart) / forward) if forward and not (apart < 0).any() else 0
