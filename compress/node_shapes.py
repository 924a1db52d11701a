"""Do a node's fields fit each other and the values that it reads? Asked of every node that comes from a file.

A rule compares shapes alone and allocates nothing. A network whose nodes all pass runs without a fault on any input of
its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.network import (
    Add,
    Affine,
    AvgPool,
    AxisMap,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Gather,
    Input,
    Multiply,
    Node,
    Permute,
    Polynomial,
    Reshape,
    Weights,
)

Shape = tuple[int, ...]
#: The most elements and axes of one value. More is damage or an attack: 2^26 float64 take 512 MiB.
MOST_ELEMENTS, MOST_AXES = 2**26, 8
#: The most values that one node reads.
MOST_INPUTS = 1024


def shape_fault(node: Node, sources: Sequence[Shape]) -> str | None:
    """What is wrong with a node that reads values of these shapes; None when all fits."""
    sizes = node.shape
    if len(sizes) > MOST_AXES or any(size < 1 for size in sizes) or prod(sizes) > MOST_ELEMENTS:
        return f"shape {sizes}; allowed: up to {MOST_AXES} sizes of at least 1, {MOST_ELEMENTS} elements in all"
    least, most = _INPUTS.get(type(node), (1, 1))
    if not least <= len(sources) <= most:
        return f"it reads {len(sources)} values; allowed: {least} to {most}"
    for name, array in vars(node).items():
        if isinstance(array, np.ndarray) and array.dtype != (np.int64 if name == "indices" else np.float64):
            return f"{name} is of type {array.dtype}"
    rule = RULES.get(type(node))
    return f"{type(node).__name__} has no rule for its shapes" if rule is None else rule(node, sources)


def _input(node: Input, sources: Sequence[Shape]) -> str | None:
    return None


def _dense(node: Dense, sources: Sequence[Shape]) -> str | None:
    codes, (x,) = node.weights.codes.shape, sources
    if len(codes) != 2 or not x or codes[1] != x[-1]:
        return f"weights {codes} do not fit an input of shape {x}"
    return _result(node, (*x[:-1], codes[0])) or _per_output(node.weights, node.bias, codes[0])


def _conv(node: Conv, sources: Sequence[Shape]) -> str | None:
    codes, (x,) = node.weights.codes.shape, sources
    fault = _windowing(node, codes, x)
    if fault is not None:
        return fault
    if codes[0] % node.groups or codes[1] * node.groups != x[0]:
        return f"weights {codes} in {node.groups} groups do not fit an input of shape {x}"
    reach = [d * (k - 1) + 1 for d, k in zip(node.dilation, codes[2:], strict=True)]
    spatial = _slid(x[1:], reach, node.stride, node.padding)
    return _result(node, (codes[0], *spatial)) or _per_output(node.weights, node.bias, codes[0])


def _conv_transpose(node: ConvTranspose, sources: Sequence[Shape]) -> str | None:
    codes, (x,) = node.weights.codes.shape, sources
    fault = _windowing(node, codes, x)
    if fault is not None:
        return fault
    if codes[0] % node.groups or codes[0] != x[0] or len(node.shape) != len(x):
        return f"weights {codes} in {node.groups} groups do not fit an input of shape {x}"
    outputs = codes[1] * node.groups
    for size, found, kernel, stride, padding, dilation in zip(
        x[1:], node.shape[1:], codes[2:], node.stride, node.padding, node.dilation, strict=True
    ):
        least = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1
        if not max(least, 1) <= found < max(least, 1) + max(stride, dilation):
            return f"shape {node.shape} does not follow from an input of shape {x}"
    return _result(node, (outputs, *node.shape[1:])) or _per_output(node.weights, node.bias, outputs)


def _avg_pool(node: AvgPool, sources: Sequence[Shape]) -> str | None:
    (x,) = sources
    rank = len(node.kernel)
    right = rank in (1, 2) and len(node.stride) == len(node.padding) == rank == len(x) - 1
    if not right or min(*node.kernel, *node.stride) < 1:
        return f"kernel {node.kernel[:3]}, stride {node.stride[:3]} and padding {node.padding[:3]} do not fit shape {x}"
    if x[0] * prod(n + 2 * pad for n, pad in zip(x[1:], node.padding, strict=True)) > MOST_ELEMENTS:
        return f"padding {node.padding} makes more than {MOST_ELEMENTS} elements"
    return _result(node, (x[0], *_slid(x[1:], node.kernel, node.stride, node.padding)))


def _affine(node: Affine, sources: Sequence[Shape]) -> str | None:
    for name, array in (("scale", node.scale), ("shift", node.shift)):
        if not _spreads(array.shape, sources[0]):
            return f"{name} {array.shape} does not spread over shape {sources[0]}"
    return _result(node, sources[0])


def _polynomial(node: Polynomial, sources: Sequence[Shape]) -> str | None:
    (x,), found = sources, node.coefficients.shape
    if len(found) != 2 or found[0] < 1 or not x or found[1] not in (1, x[0]):
        return f"coefficients {found} do not fit an input of shape {x}"
    return _result(node, x)


def _element_wise(node: Add | Multiply, sources: Sequence[Shape]) -> str | None:
    if sources[0] != sources[1]:
        return f"it reads shapes {sources[0]} and {sources[1]}, which must be the same"
    return _result(node, sources[0])


def _concat(node: Concat, sources: Sequence[Shape]) -> str | None:
    first, axis = sources[0], node.axis
    rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in sources}
    if axis >= len(first) or len(rests) != 1 or any(len(shape) != len(first) for shape in sources):
        return f"it reads shapes {tuple(sources[:4])}, which must agree on all axes but axis {axis}"
    return _result(node, (*first[:axis], sum(shape[axis] for shape in sources), *first[axis + 1 :]))


def _gather(node: Gather, sources: Sequence[Shape]) -> str | None:
    indices, count = node.indices, prod(sources[0])
    if indices.shape != (node.size,):
        return f"indices {indices.shape} for a shape of {node.size} elements"
    if indices.min(initial=0) < -1 or indices.max(initial=0) >= count:
        return f"indices beyond the {count} elements of its input"
    return None


def _axis_map(node: AxisMap, sources: Sequence[Shape]) -> str | None:
    (x,), matrix = sources, node.matrix.shape
    if node.axis >= len(x) or len(matrix) != 2 or matrix[1] != x[node.axis]:
        return f"matrix {matrix} does not fit axis {node.axis} of shape {x}"
    return _result(node, (*x[: node.axis], matrix[0], *x[node.axis + 1 :]))


def _reshape(node: Reshape, sources: Sequence[Shape]) -> str | None:
    return None if prod(sources[0]) == node.size else f"shape {node.shape} from {sources[0]} of another size"


def _permute(node: Permute, sources: Sequence[Shape]) -> str | None:
    (x,) = sources
    if sorted(node.axes) != list(range(len(x))):
        return f"axes {node.axes[:MOST_AXES]} of an input of shape {x}"
    return _result(node, tuple(x[axis] for axis in node.axes))


Rule = Callable[[Any, Sequence[Shape]], str | None]
#: What each kind of node asks of its fields. A kind without a rule is refused in files.
RULES: Mapping[type[Node], Rule] = {
    Input: _input,
    Dense: _dense,
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    AvgPool: _avg_pool,
    Affine: _affine,
    Polynomial: _polynomial,
    Add: _element_wise,
    Multiply: _element_wise,
    Concat: _concat,
    Gather: _gather,
    AxisMap: _axis_map,
    Reshape: _reshape,
    Permute: _permute,
}
#: Least and most inputs of the kinds that do not read exactly one value.
_INPUTS: Mapping[type[Node], tuple[int, int]] = {
    Input: (0, 0),
    Add: (2, 2),
    Multiply: (2, 2),
    Concat: (1, MOST_INPUTS),
}


def _result(node: Node, found: Shape) -> str | None:
    return None if node.shape == tuple(found) else f"shape {node.shape}, its fields make {tuple(found)}"


def _per_output(weights: Weights, bias: NDArray[Any], outputs: int) -> str | None:
    """Faults of a bias, and of steps along the first axis of the codes."""
    if bias.shape != (outputs,):
        return f"bias {bias.shape} for {outputs} outputs"
    if weights.step.dtype != np.float64 or weights.step.shape not in ((), (weights.codes.shape[0],)):
        return f"step {weights.step.dtype} {weights.step.shape} for codes {weights.codes.shape}"
    return None


def _windowing(node: Conv | ConvTranspose, codes: Shape, x: Shape) -> str | None:
    rank = len(codes) - 2
    lengths = {len(field) for field in (node.stride, node.padding, node.dilation)}
    if rank not in (1, 2) or lengths != {rank} or len(x) != rank + 1 or min(*codes, *node.stride, *node.dilation) < 1:
        return (
            f"weights {codes}, stride {node.stride[:3]}, padding {node.padding[:3]} and dilation {node.dilation[:3]} "
            f"do not fit an input of shape {x}"
        )
    padded = prod(n + 2 * pad for n, pad in zip(x[1:], node.padding, strict=True))
    taps = zip(x[1:], node.stride, node.dilation, codes[2:], strict=True)
    spread = prod(n * s + d * k for n, s, d, k in taps) if isinstance(node, ConvTranspose) else 0
    if max(padded * x[0], spread * prod(node.shape[:1])) > MOST_ELEMENTS:
        return f"padding {node.padding} and stride {node.stride} make more than {MOST_ELEMENTS} elements"
    return None


def _slid(sizes: Shape, reach: Sequence[int], stride: Shape, padding: Shape) -> Shape:
    """Positions of a window along each axis; less than 1 where it does not fit."""
    return tuple((n + 2 * p - r) // s + 1 for n, r, s, p in zip(sizes, reach, stride, padding, strict=True))


def _spreads(shape: Shape, over: Shape) -> bool:
    """Whether an array of this shape broadcasts to exactly that one."""
    if len(shape) > len(over):
        return False
    return all(size in (1, wanted) for size, wanted in zip(reversed(shape), reversed(over), strict=False))
