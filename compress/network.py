"""The frozen Network: a converted model without torch, and its reference run in numpy.

A Network is a list of nodes in execution order. Every node names its inputs and the shape of the one value it makes
(without the batch axis). Linear maps keep their weights as codes and steps: `values = codes * step`. Everything that
comes after (compilation, cost models) is compared with `Network.run`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.convolutions import convolve, convolve_transposed, windows
from compress.errors import InputShapeError

Array = NDArray[np.float64]
Images = NDArray[np.floating[Any]]
Shape = tuple[int, ...]


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only copy of the array; the array itself if it is read-only already."""
    if not array.flags.writeable and array.base is None:
        return array
    copied = array.copy()
    copied.flags.writeable = False
    return copied


class _ReadOnlyArrays:
    """Base of frozen dataclasses: their arrays become read-only, so that the contents are frozen too."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                object.__setattr__(self, name, read_only(value))


@dataclass(frozen=True)
class Weights(_ReadOnlyArrays):
    """Codes of one linear map, shape (out, in, ...), and the step that turns them into values. Arrays are read-only.

    codes: integers (any int dtype) for a compressed layer, float64 for one that was never quantized (then step is 1).
    step: shape () or (out,); a power of two where the codebook demands it.
    bits: bits a code needs, None for float weights.
    mask: True where a weight survived pruning; None when nothing was pruned. A surviving code may still be zero.
    """

    codes: NDArray[Any]
    step: Array
    bits: int | None = None
    mask: NDArray[np.bool_] | None = None

    def values(self) -> Array:
        """Dequantized weights, float64, the shape of the codes."""
        step = self.step if self.step.ndim == 0 else self.step.reshape((-1,) + (1,) * (self.codes.ndim - 1))
        return np.asarray(self.codes, dtype=np.float64) * step

    @property
    def nonzeros(self) -> int:
        return int(np.count_nonzero(self.codes))


@dataclass(frozen=True)
class Range:
    """Extremes and root mean square of one value, over all calibration images and elements."""

    low: float
    high: float
    rms: float


@dataclass(frozen=True, kw_only=True)
class Node(_ReadOnlyArrays):
    """One value of the network. name: dotted module path or name of the traced function. Arrays are read-only."""

    name: str
    inputs: tuple[str, ...]
    shape: Shape

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Input(Node):
    """The network's one input."""


@dataclass(frozen=True, kw_only=True)
class Dense(Node):
    """y = x W^T + b over the last axis; weights (out, in), bias (out,)."""

    weights: Weights
    bias: Array


@dataclass(frozen=True, kw_only=True)
class Conv(Node):
    """Cross-correlation over one or two spatial axes; weights (out, in / groups, *kernel), input (in, *spatial)."""

    weights: Weights
    bias: Array
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int


@dataclass(frozen=True, kw_only=True)
class ConvTranspose(Node):
    """Transposed convolution over one or two spatial axes; weights (in, out / groups, *kernel), input (in, *spatial).

    Input position i adds to the output positions i * stride - padding + tap * dilation. Positions of `shape` that no
    tap reaches (torch's output_padding) hold the bias, (out,).
    """

    weights: Weights
    bias: Array
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int


@dataclass(frozen=True, kw_only=True)
class AvgPool(Node):
    """Mean over windows of one or two spatial axes; padding counts as zeros and enters the mean."""

    kernel: Shape
    stride: Shape
    padding: Shape


@dataclass(frozen=True, kw_only=True)
class Affine(Node):
    """y = scale * x + shift, element-wise; scale and shift broadcast against the value's shape."""

    scale: Array
    shift: Array


@dataclass(frozen=True, kw_only=True)
class Polynomial(Node):
    """y = sum_k coefficients[k] * x**k, element-wise; coefficients (degree + 1, channels), channels = 1 or shape[0]."""

    coefficients: Array

    @property
    def degree(self) -> int:
        return int(self.coefficients.shape[0]) - 1


@dataclass(frozen=True, kw_only=True)
class Add(Node):
    """The sum of two values of the same shape (a residual connection)."""


@dataclass(frozen=True, kw_only=True)
class Multiply(Node):
    """The element-wise product of two values of the same shape."""


@dataclass(frozen=True, kw_only=True)
class Concat(Node):
    """Values one after the other along one axis (the batch axis is not counted); two or more inputs."""

    axis: int


@dataclass(frozen=True, kw_only=True)
class Gather(Node):
    """Elements of one value in any order, several times or not at all: slices, padding, nearest interpolation.

    indices: (size,), for every element of the result in C order the flat index of the element it copies; -1 is zero.
    """

    indices: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class AxisMap(Node):
    """A linear map along one axis, the same at every place of the other axes: resampling, uneven pools, sums.

    matrix: (length of the axis in the result, its length in the input). The batch axis is not counted in `axis`.
    """

    axis: int
    matrix: Array


@dataclass(frozen=True, kw_only=True)
class Reshape(Node):
    """The same elements in C order under another shape (flatten, view, unsqueeze)."""


@dataclass(frozen=True, kw_only=True)
class Permute(Node):
    """Axes reordered: output axis i is input axis axes[i] (the batch axis is not counted)."""

    axes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A frozen network: nodes in execution order, the last one is the output.

    ranges: by node name, what calibration measured. about: facts for people (source model, history, accuracies). Both
    are mappings that nothing here writes to; make a new Network with `dataclasses.replace` instead of writing to them.
    """

    nodes: tuple[Node, ...]
    ranges: Mapping[str, Range] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_shape(self) -> Shape:
        return self.nodes[0].shape

    @property
    def output_shape(self) -> Shape:
        return self.nodes[-1].shape

    def node(self, name: str) -> Node:
        """The node of that name; KeyError when there is none."""
        return next(node for node in self.nodes if node.name == name)

    def run(self, images: Images) -> Array:
        """Outputs, shape (batch, *output_shape), float64, for a batch of inputs (batch, *input_shape).

        Raises: InputShapeError.
        """
        return self.run_all(images)[self.nodes[-1].name]

    def run_all(self, images: Images) -> dict[str, Array]:
        """Every node's value for a batch of inputs, by node name.

        Raises: InputShapeError.
        """
        start = np.asarray(images, dtype=np.float64)
        if start.shape[1:] != self.input_shape:
            raise InputShapeError(
                f"input: shape {start.shape[1:]} per image; the network takes {self.input_shape}; reshape the input"
            )
        values: dict[str, Array] = {self.nodes[0].name: start}
        for node in self.nodes[1:]:
            values[node.name] = evaluate_node(node, *(values[name] for name in node.inputs))
        return values


def evaluate_node(node: Node, *inputs: Array) -> Array:
    """The value of one node, shape (batch, *node.shape), from its inputs' values."""
    match node:
        case Dense():
            return inputs[0] @ node.weights.values().T + node.bias
        case Conv():
            return convolve(inputs[0], node.weights.values(), node.bias, **_windowing(node))
        case ConvTranspose():
            out = node.shape[1:]
            return convolve_transposed(inputs[0], node.weights.values(), node.bias, out=out, **_windowing(node))
        case AvgPool():
            found = windows(inputs[0], node.kernel, node.stride, node.padding, (1,) * len(node.kernel))
            return np.asarray(found.mean(axis=tuple(range(-len(node.kernel), 0))))
        case Affine():
            return inputs[0] * node.scale + node.shift
        case Polynomial():
            return evaluate_polynomial(node.coefficients, inputs[0])
        case Add():
            return inputs[0] + inputs[1]
        case Multiply():
            return inputs[0] * inputs[1]
        case Concat():
            return np.concatenate(inputs, axis=node.axis + 1)
        case Gather():
            return _gather(node, inputs[0])
        case AxisMap():
            mapped = np.moveaxis(inputs[0], node.axis + 1, -1) @ node.matrix.T
            return np.moveaxis(mapped, -1, node.axis + 1)
        case Reshape():
            return inputs[0].reshape((inputs[0].shape[0], *node.shape))
        case Permute():
            return inputs[0].transpose((0, *(axis + 1 for axis in node.axes)))
    raise TypeError(f"node '{node.name}' has no evaluation rule: {type(node).__name__}")


def _windowing(node: Conv | ConvTranspose) -> dict[str, Any]:
    return {"stride": node.stride, "padding": node.padding, "dilation": node.dilation, "groups": node.groups}


def _gather(node: Gather, x: Array) -> Array:
    flat = np.concatenate([x.reshape((len(x), -1)), np.zeros((len(x), 1))], axis=1)  # index -1 reads the zero
    return flat[:, node.indices].reshape((len(x), *node.shape))


def evaluate_polynomial(coefficients: Array, x: Array) -> Array:
    """Horner's rule; x is (batch, channels, ...), coefficients (degree + 1, channels or 1)."""
    per_channel = coefficients.reshape(coefficients.shape[:2] + (1,) * (x.ndim - 2))
    result = np.broadcast_to(per_channel[-1], x.shape[1:]) + np.zeros_like(x)
    for row in per_channel[-2::-1]:
        result = result * x + row
    return np.asarray(result)
