"""Random small networks of all node types, without torch, for tests of throughput plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

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
    Network,
    Node,
    Permute,
    Polynomial,
    Reshape,
    Weights,
)

Array = NDArray[np.float64]
#: The most factors that inputs are multiplied by each other, so that values stay small enough to compare.
MOST_DEGREE = 8


@dataclass
class Growing:
    """A network while it is made. exact: every constant is a multiple of a power of two, so that plans are exact.

    degrees: by node, the degree of its value as a polynomial of the inputs.
    """

    rng: np.random.Generator
    nodes: list[Node]
    degrees: dict[str, int]
    exact: bool

    @property
    def last(self) -> Node:
        return self.nodes[-1]

    @property
    def head(self) -> dict[str, object]:
        """Name and input of the next node."""
        return {"name": f"n{len(self.nodes)}", "inputs": (self.last.name,)}

    def append(self, node: Node, degree: int | None = None) -> None:
        self.nodes.append(node)
        self.degrees[node.name] = max(self.degrees[name] for name in node.inputs) if degree is None else degree

    def numbers(self, *shape: int) -> Array:
        """Random numbers about 1 in size; eighths if the network is to be exact."""
        found = self.rng.normal(size=shape)
        return np.rint(8 * found) / 8 if self.exact else found

    def weights(self, *shape: int) -> Weights:
        """Integer codes with one step or one per output, or numbers that were never quantized."""
        codes = self.rng.integers(-7, 8, size=shape) * (self.rng.random(shape) < 0.7)
        kind = self.rng.integers(2 if self.exact else 3)
        if kind == 2:
            return Weights(self.rng.normal(size=shape) * 0.3, np.ones(()))
        step = np.full((), 0.125) if kind == 0 else 2.0 ** -self.rng.integers(2, 4, size=shape[0])
        return Weights(codes.astype(np.int8), np.asarray(step), 4)


def dense(growing: Growing) -> None:
    *before, columns = growing.last.shape
    rows = int(growing.rng.integers(1, 5))
    growing.append(
        Dense(**growing.head, shape=(*before, rows), weights=growing.weights(rows, columns), bias=growing.numbers(rows))
    )


def convolution(growing: Growing) -> None:
    channels, *spatial = growing.last.shape
    groups = channels if growing.rng.random() < 0.3 else 1
    kernel, stride = tuple(min(2, size) for size in spatial), tuple(growing.rng.integers(1, 3, size=len(spatial)))
    padding = tuple(int(value) for value in growing.rng.integers(0, 2, size=len(spatial)))
    out = groups * int(growing.rng.integers(1, 3))
    places = [(size + 2 * p - k) // int(s) + 1 for size, k, s, p in zip(spatial, kernel, stride, padding, strict=True)]
    growing.append(
        Conv(
            **growing.head, shape=(out, *places), weights=growing.weights(out, channels // groups, *kernel),
            bias=growing.numbers(out), stride=tuple(int(s) for s in stride), padding=padding,
            dilation=(1,) * len(spatial), groups=groups,
        )
    )  # fmt: skip


def transposed(growing: Growing) -> None:
    channels, *spatial = growing.last.shape
    stride = tuple(int(value) for value in growing.rng.integers(1, 3, size=len(spatial)))
    out = int(growing.rng.integers(1, 3))
    places = [(size - 1) * s + 2 for size, s in zip(spatial, stride, strict=True)]
    growing.append(
        ConvTranspose(
            **growing.head, shape=(out, *places), weights=growing.weights(channels, out, *([2] * len(spatial))),
            bias=growing.numbers(out), stride=stride, padding=(0,) * len(spatial), dilation=(1,) * len(spatial),
            groups=1,
        )
    )  # fmt: skip


def pooling(growing: Growing) -> None:
    channels, *spatial = growing.last.shape
    padding = tuple(int(growing.rng.random() < 0.3) for _ in spatial)
    kernel = tuple(min(int(growing.rng.integers(2, 4)), size + 2 * p) for size, p in zip(spatial, padding, strict=True))
    places = [(size + 2 * p - k) // k + 1 for size, k, p in zip(spatial, kernel, padding, strict=True)]
    growing.append(AvgPool(**growing.head, shape=(channels, *places), kernel=kernel, stride=kernel, padding=padding))


def axis_map(growing: Growing) -> None:
    axis = int(growing.rng.integers(len(growing.last.shape)))
    length = growing.last.shape[axis]
    shape = list(growing.last.shape)
    shape[axis] = int(growing.rng.integers(1, 4))
    growing.append(
        AxisMap(**growing.head, shape=tuple(shape), axis=axis, matrix=0.5 * growing.numbers(shape[axis], length))
    )


def gather(growing: Growing) -> None:
    size = int(growing.rng.integers(1, 9))
    indices = growing.rng.integers(-1, growing.last.size, size=size)
    growing.append(Gather(**growing.head, shape=(size,), indices=indices))


def permute(growing: Growing) -> None:
    axes = tuple(int(axis) for axis in growing.rng.permutation(len(growing.last.shape)))
    growing.append(Permute(**growing.head, shape=tuple(growing.last.shape[axis] for axis in axes), axes=axes))


def flatten(growing: Growing) -> None:
    growing.append(Reshape(**growing.head, shape=(growing.last.size,)))


def affine(growing: Growing) -> None:
    shape = growing.last.shape
    wide = () if growing.rng.random() < 0.3 else (shape[0], *([1] * (len(shape) - 1)))
    growing.append(
        Affine(**growing.head, shape=shape, scale=growing.numbers(*wide), shift=np.asarray(growing.numbers(*wide)))
    )


def polynomial(growing: Growing) -> None:
    degree = int(growing.rng.integers(5))
    if growing.degrees[growing.last.name] * max(degree, 1) > MOST_DEGREE:
        return
    channels = 1 if growing.rng.random() < 0.6 else growing.last.shape[0]
    coefficients = 0.5 * growing.numbers(degree + 1, channels)
    growing.append(
        Polynomial(**growing.head, shape=growing.last.shape, coefficients=coefficients),
        growing.degrees[growing.last.name] * max(degree, 1),
    )


def addition(growing: Growing) -> None:
    other = _alike(growing)
    growing.append(Add(name=growing.head["name"], inputs=(growing.last.name, other.name), shape=other.shape))


def multiplication(growing: Growing) -> None:
    other = _alike(growing)
    degree = growing.degrees[other.name] + growing.degrees[growing.last.name]
    if degree <= MOST_DEGREE:
        inputs = (growing.last.name, other.name)
        growing.append(Multiply(name=growing.head["name"], inputs=inputs, shape=other.shape), degree)


def concatenation(growing: Growing) -> None:
    other = _alike(growing)
    axis = int(growing.rng.integers(len(other.shape)))
    shape = list(other.shape)
    shape[axis] *= 2
    inputs = (growing.last.name, other.name)
    growing.append(Concat(name=growing.head["name"], inputs=inputs, shape=tuple(shape), axis=axis))


def _alike(growing: Growing) -> Node:
    """A value of the last one's shape, itself if there is no other."""
    return next(node for node in growing.nodes if node.shape == growing.last.shape)


EVERYWHERE: tuple[Callable[[Growing], None], ...] = (
    dense, axis_map, gather, permute, flatten, affine, polynomial, addition, multiplication, concatenation,
)  # fmt: skip
SPATIAL: tuple[Callable[[Growing], None], ...] = (convolution, transposed, pooling)


def random_network(seed: int, layers: int, *, exact: bool) -> Network:
    """A network of so many layers at most, on an input with no, one or two spatial axes."""
    rng = np.random.default_rng(seed)
    shape = [(6,), (2, 5), (2, 4, 3)][rng.integers(3)]
    growing = Growing(rng, [Input(name="x", inputs=(), shape=shape)], {"x": 1}, exact)
    for _ in range(layers):
        spatial = len(growing.last.shape) in (2, 3) and min(growing.last.shape[1:]) > 1
        rules = EVERYWHERE + (SPATIAL * 2 if spatial else ())
        if prod(growing.last.shape) < 200:
            rules[rng.integers(len(rules))](growing)
    return Network(nodes=tuple(growing.nodes))


def quadratic_network(bits: int | None, *, squares: int = 1, features: int = 12, seed: int = 0) -> Network:
    """Dense layers with a square between two; the same weights rounded to so many bits, or not at all."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input(name="input", inputs=(), shape=(features,))]
    widths = [features, *([8] * squares), 3]
    for number, (columns, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        values = rng.uniform(-1, 1, size=(outputs, columns)) / np.sqrt(columns / 8)
        weights = Weights(values, np.ones(()))
        if bits is not None:
            step = 2.0 ** (1 - bits)
            weights = Weights(np.rint(values / step).astype(np.int16), np.asarray(step), bits)
        head = {"inputs": (nodes[-1].name,), "shape": (outputs,)}
        nodes.append(Dense(name=f"dense{number}", weights=weights, bias=rng.normal(size=outputs) / 4, **head))
        if number < squares:
            coefficients = np.array([[0.125], [0.5], [0.25]])
            head = {"inputs": (nodes[-1].name,), "shape": (outputs,)}
            nodes.append(Polynomial(name=f"square{number}", coefficients=coefficients, **head))
    return Network(nodes=tuple(nodes))
