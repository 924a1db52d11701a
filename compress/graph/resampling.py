"""Rules for pools, interpolation, sums and means: fixed linear maps along one axis after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from compress.graph.building import Builder, argument, source_of
from compress.graph.moves import move
from compress.graph.spellings import ONE_DIMENSIONAL

Array = NDArray[np.float64]

#: Modes of interpolation that copy elements, and those that are a product of maps along each axis.
_COPIES = ("nearest", "nearest-exact")
_SEPARABLE = ("linear", "bilinear", "bicubic", "area")


def axis_maps(build: Builder, node: fx.Node, matrices: Sequence[tuple[int, Array]], *, factor: float = 1.0) -> None:
    """Layers that map a node's input along the given axes (the batch axis is not counted), and reshape it to the node.

    factor: what the last matrix is multiplied by.
    """
    source = source_of(node)
    name, shape = build.value_of[source], list(build.shape(source))
    for number, (axis, matrix) in enumerate(matrices):
        if number == len(matrices) - 1:
            matrix = matrix * factor
        shape[axis] = len(matrix)
        suffix = f".axis{axis}" if tuple(shape) != build.shape(node) or number < len(matrices) - 1 else ""
        name = build.append(
            node, "axismap", inputs=(name,), shape=tuple(shape), suffix=suffix, axis=axis, matrix=matrix
        )
    if tuple(shape) != build.shape(node):
        build.append(node, "reshape", inputs=(name,))
    else:
        build.value_of[node] = name


def window_matrix(size: int, outputs: int, *, kernel: int, stride: int, padding: int, counts_padding: bool) -> Array:
    """Means over windows along one axis, (outputs, size). counts_padding: whether padded positions enter the mean.

    As torch counts: windows that reach beyond the padding (ceil_mode) are cut off there.
    """
    matrix = np.zeros((outputs, size))
    for row in range(outputs):
        start = row * stride - padding
        end = min(start + kernel, size + padding)
        inside = slice(max(start, 0), min(end, size))
        matrix[row, inside] = 1.0 / (end - start if counts_padding else inside.stop - inside.start)
    return matrix


def adaptive_matrix(size: int, outputs: int) -> Array:
    """Means over windows of sizes as equal as possible, (outputs, size): from floor(i n / m) to ceil((i + 1) n / m)."""
    edges = [(row * size // outputs, -(-(row + 1) * size // outputs)) for row in range(outputs)]
    return np.array([[(low <= column < high) / (high - low) for column in range(size)] for low, high in edges])


def interpolate(build: Builder, node: fx.Node) -> None:
    """nn.Upsample and F.interpolate: copies for the nearest element, else maps along each spatial axis."""
    module: Any = build.module_of(node)
    mode = argument(node, 3, "mode", "nearest") if module is None else getattr(module, "mode", "nearest")
    if mode in _COPIES:
        move(build, node)
        return
    if mode not in _SEPARABLE or argument(node, 6, "antialias", False):
        reason = f"with mode '{mode}'" if mode not in _SEPARABLE else "with antialias"
        raise build.unsupported(node, reason, "use mode 'nearest', 'bilinear' or 'bicubic' without antialias")
    sizes = build.shape(source_of(node))[1:]
    axis_maps(build, node, [(axis + 1, _interpolation(build, node, axis)) for axis in range(len(sizes))])


def _interpolation(build: Builder, node: fx.Node, axis: int) -> Array:
    """The map along one spatial axis: what the operation makes of unit vectors along it, constant along the others.

    The weights along every axis add up to one, so constants stay what they are.
    """
    source = source_of(node)
    value = build.trace.values[source]
    sizes = value.shape[2:]
    unit = torch.eye(sizes[axis], dtype=torch.float64)
    units = unit.reshape([1, sizes[axis], *(sizes[axis] if other == axis else 1 for other in range(len(sizes)))])
    result = build.trace.rerun(node, {source: units.expand(1, sizes[axis], *sizes).contiguous()})[0]
    column = result[(slice(None), *(slice(None) if other == axis else 0 for other in range(len(sizes))))]
    return np.asarray(column.T.numpy(), dtype=np.float64)


def total(build: Builder, node: fx.Node) -> None:
    """The sum over any axes but the batch."""
    axes = reduced_axes(build, node)
    sizes = build.shape(source_of(node))
    axis_maps(build, node, [(axis, np.ones((1, sizes[axis]))) for axis in axes])


def mean(build: Builder, node: fx.Node) -> None:
    """The mean over any axes but the batch; over all spatial axes it is average pooling over the whole image."""
    axes, source = reduced_axes(build, node), build.shape(source_of(node))
    spatial = len(source) - 1
    if spatial not in (1, 2) or axes != list(range(1, len(source))):
        axis_maps(build, node, [(axis, np.full((1, source[axis]), 1.0 / source[axis])) for axis in axes])
        return
    kernel, pooled = source[1:], (source[0],) + (1,) * spatial
    build.append(node, "avgpool", shape=pooled, kernel=kernel, stride=kernel, padding=(0,) * spatial)
    if build.shape(node) != pooled:
        build.append(node, "reshape", inputs=(build.value_of[node],))


def reduced_axes(build: Builder, node: fx.Node) -> list[int]:
    """The axes that a sum or mean runs over, in order, without counting the batch axis.

    Raises: UnsupportedLayerError when it runs over the batch.
    """
    rank = build.trace.values[source_of(node)].ndim
    given = argument(node, 1, "dim", node.kwargs.get("axis"))
    chosen = (given,) if isinstance(given, int) else tuple(given or range(rank))
    axes = sorted(axis % rank for axis in chosen)
    if 0 in axes:
        raise build.unsupported(node, "over the batch axis", "take it over other axes, for instance dim=1")
    return [axis - 1 for axis in axes]


def average_pool(build: Builder, node: fx.Node) -> None:
    given, rank = pool_arguments(build, node, ["ceil_mode", "count_include_pad", "divisor_override"])
    kernel, stride, padding = given["kernel"], given["stride"], given["padding"]
    counts, divisor = given.get("count_include_pad", True), given.get("divisor_override")
    if not given["ceil_mode"] and divisor is None and (counts or not any(padding)):
        build.append(node, "avgpool", kernel=kernel, stride=stride, padding=padding)
        return
    before, after = build.shape(source_of(node))[-rank:], build.shape(node)[-rank:]
    first = len(build.shape(node)) - rank
    matrices = []
    for axis in range(rank):
        matrix = window_matrix(
            before[axis], after[axis], kernel=kernel[axis], stride=stride[axis], padding=padding[axis],
            counts_padding=counts,
        )  # fmt: skip
        matrices.append((first + axis, matrix if divisor is None else (matrix > 0).astype(np.float64)))
    axis_maps(build, node, matrices, factor=1.0 if divisor is None else 1.0 / divisor)


def max_pool(build: Builder, node: fx.Node) -> None:
    given, rank = pool_arguments(build, node, ["dilation", "ceil_mode", "return_indices"])
    kernel, stride, padding = given["kernel"], given["stride"], given["padding"]
    if any(d != 1 for d in as_tuple(given.get("dilation", 1), rank)):
        raise build.unsupported(node, "with dilation", "use dilation=1")
    if not given["ceil_mode"]:
        build.append(node, "maxpool", kernel=kernel, stride=stride, padding=padding)
        return
    pool = nn.AvgPool1d if rank == 1 else nn.AvgPool2d
    build.append(node, "unevenmaxpool", average=pool(kernel, stride, padding, ceil_mode=True))


def pool_arguments(build: Builder, node: fx.Node, last: list[str]) -> tuple[dict[str, Any], int]:
    """(the arguments of a pooling by name, its number of spatial axes); kernel, stride and padding are tuples."""
    module, rank = build.module_of(node), _rank(build, node)
    if module is None:
        names = ["input", "kernel_size", "stride", "padding", *last]
        defaults = {"stride": None, "padding": 0, "ceil_mode": False}
        given = defaults | dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    else:
        given = dict(vars(module))
    given["kernel"], given["padding"] = as_tuple(given["kernel_size"], rank), as_tuple(given["padding"], rank)
    given["stride"] = given["kernel"] if given["stride"] in (None, (), []) else as_tuple(given["stride"], rank)
    return given, rank


def adaptive_average_pool(build: Builder, node: fx.Node) -> None:
    _adaptive(build, node, "avgpool")


def adaptive_max_pool(build: Builder, node: fx.Node) -> None:
    _adaptive(build, node, "maxpool")


def _adaptive(build: Builder, node: fx.Node, kind: str) -> None:
    rank = _rank(build, node)
    sizes, outputs = build.shape(source_of(node))[-rank:], build.shape(node)[-rank:]
    if not any(size % out for size, out in zip(sizes, outputs, strict=True)):
        kernel = tuple(size // out for size, out in zip(sizes, outputs, strict=True))
        build.append(node, kind, kernel=kernel, stride=kernel, padding=(0,) * rank)
    elif kind == "avgpool":
        first = len(build.shape(node)) - rank
        pairs = enumerate(zip(sizes, outputs, strict=True))
        axis_maps(build, node, [(first + axis, adaptive_matrix(size, out)) for axis, (size, out) in pairs])
    else:
        pool = nn.AdaptiveAvgPool1d if rank == 1 else nn.AdaptiveAvgPool2d
        build.append(node, "unevenmaxpool", average=pool(outputs))


def _rank(build: Builder, node: fx.Node) -> int:
    """How many spatial axes a pooling has."""
    module = build.module_of(node)
    spellings: tuple[Any, ...] = (node.target,) if module is None else type(module).__mro__
    return 1 if any(one in ONE_DIMENSIONAL for one in spellings) else 2


def as_tuple(value: Any, rank: int) -> tuple[Any, ...]:
    """One number for every axis."""
    if isinstance(value, (tuple, list)):
        return tuple(value) if len(value) == rank else tuple(value) * rank
    return (value,) * rank
