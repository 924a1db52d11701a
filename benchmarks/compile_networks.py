"""Networks with random weights, for measurements of the compiler. No training: only shapes and sizes of values matter.

Every activation is 0.15 x^2 + 0.8 x. Weights are scaled so that values stay about 1 in size at any depth.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from numpy.typing import NDArray

from compress.network import (
    Add,
    Affine,
    AvgPool,
    Conv,
    Dense,
    Gather,
    Input,
    Multiply,
    Network,
    Node,
    Polynomial,
    Reshape,
    Shape,
    Weights,
)

Array = NDArray[np.float64]

#: The activation's coefficients, that of the constant first. Squares are a small part, so that deep networks do not
#: explode on an unusual input.
COEFFICIENTS = np.array([[0.0], [0.8], [0.15]])
#: The root mean square of every affine value, about.
VALUE_RMS = 0.7
#: The activation of residual networks of twenty layers: with larger squares, skips would make an unusual input explode.
DEEP_COEFFICIENTS = np.array([[0.05], [0.6], [0.07]])


class NetworkBuilder:
    """Appends nodes one after the other; `last` is the name of the newest.

    The scale of every layer's weights is chosen so that its values have the same root mean square on random inputs.
    """

    def __init__(self, shape: Shape, seed: int = 0, images: int = 32) -> None:
        self._rng = np.random.default_rng(seed)
        self._nodes: list[Node] = [Input(name="x", inputs=(), shape=shape)]
        self._images = self._rng.uniform(-1.0, 1.0, (images, *shape))

    @property
    def last(self) -> str:
        return self._nodes[-1].name

    def dense(self, rows: int) -> NetworkBuilder:
        """A fully connected layer onto `rows` features; a value with positions is flattened first."""
        if len(self._nodes[-1].shape) > 1:
            size = self._nodes[-1].size
            self._nodes.append(Reshape(name=f"flat{len(self._nodes)}", inputs=(self.last,), shape=(size,)))
        name, source = f"dense{len(self._nodes)}", (self.last,)

        def layer(weights: Weights) -> Node:
            return Dense(name=name, inputs=source, shape=(rows,), weights=weights, bias=np.zeros(rows))

        return self._scaled(layer, (rows, self._nodes[-1].size))

    def conv(self, channels: int, kernel: int, *, stride: int = 1, source: str | None = None) -> NetworkBuilder:
        """A convolution of the newest value or of `source`, padded so that a stride of 1 keeps the size."""
        read = source or self.last
        before = next(node.shape for node in self._nodes if node.name == read)
        rank, padding = len(before) - 1, kernel // 2
        sizes = tuple((size + 2 * padding - kernel) // stride + 1 for size in before[1:])
        name, reads = f"conv{len(self._nodes)}", (read,)

        def layer(weights: Weights) -> Node:
            return Conv(
                name=name, inputs=reads, shape=(channels, *sizes), weights=weights, bias=np.zeros(channels),
                stride=(stride,) * rank, padding=(padding,) * rank, dilation=(1,) * rank, groups=1,
            )  # fmt: skip

        return self._scaled(layer, (channels, before[0], *(kernel,) * rank))

    def activation(self, coefficients: Array = COEFFICIENTS) -> NetworkBuilder:
        name, shape = f"square{len(self._nodes)}", self._nodes[-1].shape
        self._nodes.append(Polynomial(name=name, inputs=(self.last,), shape=shape, coefficients=coefficients))
        return self

    def pool(self, window: int) -> NetworkBuilder:
        before = self._nodes[-1].shape
        rank, sizes = len(before) - 1, tuple(size // window for size in before[1:])
        name, every = f"pool{len(self._nodes)}", (window,) * rank
        self._nodes.append(
            AvgPool(
                name=name,
                inputs=(self.last,),
                shape=(before[0], *sizes),
                kernel=every,
                stride=every,
                padding=(0,) * rank,
            )  # fmt: skip
        )
        return self

    def add(self, other: str) -> NetworkBuilder:
        """The newest value plus that of another node."""
        name, shape = f"add{len(self._nodes)}", self._nodes[-1].shape
        self._nodes.append(Add(name=name, inputs=(self.last, other), shape=shape))
        return self

    def normalised(self) -> NetworkBuilder:
        """The newest value with the same mean and root mean square in every channel, as batch normalization gives."""
        name, shape = f"norm{len(self._nodes)}", self._nodes[-1].shape
        found = self.network().run_all(self._images)[self.last]
        axes = (0, *range(2, found.ndim))
        mean, size = found.mean(axis=axes), np.maximum(found.std(axis=axes), 1e-6)
        place = (-1, *(1,) * (len(shape) - 1))
        scale = (VALUE_RMS / size).reshape(place)
        shift = scale * -mean.reshape(place)
        self._nodes.append(Affine(name=name, inputs=(self.last,), shape=shape, scale=scale, shift=shift))
        return self

    def gated(self) -> NetworkBuilder:
        """The newest value times one number per channel: a 1x1 convolution of the channels' means."""
        body, shape = self.last, self._nodes[-1].shape
        self.pool(shape[-1]).conv(shape[0], 1)
        everywhere = np.repeat(np.arange(shape[0]), prod(shape[1:]))
        self._nodes.append(Gather(name=f"gate{len(self._nodes)}", inputs=(self.last,), shape=shape, indices=everywhere))
        self._nodes.append(Multiply(name=f"gated{len(self._nodes)}", inputs=(body, self.last), shape=shape))
        return self

    def network(self) -> Network:
        return Network(nodes=tuple(self._nodes))

    def _scaled(self, layer: Callable[[Weights], Node], shape: Shape) -> NetworkBuilder:
        raw = self._rng.normal(size=shape) / np.sqrt(prod(shape[1:]))
        trial = Network(nodes=(*self._nodes, layer(Weights(raw, np.array(1.0)))))
        rms = float(np.sqrt(np.mean(trial.run(self._images) ** 2)))
        self._nodes.append(layer(Weights(raw * (VALUE_RMS / rms), np.array(1.0))))
        return self


def residual(blocks: int, channels: int, size: int, outputs: int = 10, *, plain_sums: bool = False) -> Network:
    """A stem convolution, residual blocks of two 3x3 convolutions each, pooling to 4 x 4, and a dense layer.

    plain_sums: whether no activation follows the sum of a block, so that the next block's layers and the skip both
    read all squares before them.
    """
    builder = NetworkBuilder((3, size, size)).conv(channels, 3).activation()
    for _ in range(blocks):
        skip = builder.last
        builder.conv(channels, 3).activation().conv(channels, 3).add(skip)
        if not plain_sums:
            builder.activation()
    return builder.pool(size // 4).dense(outputs).network()


def residual_stages(
    blocks: tuple[int, ...], channels: int, size: int, *, inputs: int = 1, outputs: int = 10, seed: int = 0
) -> Network:
    """A residual network of the kind of ResNet-20: a stem, stages of so many blocks, average pooling, a dense layer.

    Every stage after the first halves the size and doubles the channels; the skip of its first block is a convolution
    of 1x1. The network has 1 + 2 * (all blocks) squarings: blocks (3, 3, 3) with 16 channels of 32 make ResNet-20.
    """
    builder = NetworkBuilder((inputs, size, size), seed).conv(channels, 3).activation(DEEP_COEFFICIENTS)
    for number, count in enumerate(blocks):
        for block in range(count):
            skip, stride = builder.last, 2 if number and not block else 1
            builder.conv(channels << number, 3, stride=stride).normalised().activation(DEEP_COEFFICIENTS).conv(
                channels << number, 3
            )
            if stride > 1:
                body = builder.last
                builder.conv(channels << number, 1, stride=stride, source=skip)
                skip = body
            builder.add(skip).normalised().activation(DEEP_COEFFICIENTS)
    return builder.pool(size >> (len(blocks) - 1)).dense(outputs).network()


def gated_skip(channels: int, size: int, outputs: int = 10) -> Network:
    """A stem convolution, a residual block whose branch a channel gate multiplies, pooling to 4 x 4, a dense layer."""
    builder = NetworkBuilder((3, size, size)).conv(channels, 3).activation()
    skip = builder.last
    builder.conv(channels, 3).activation().conv(channels, 3).gated().add(skip).activation()
    return builder.pool(size // 4).dense(outputs).network()


def dense(inputs: int, width: int, activations: int, outputs: int = 10) -> Network:
    """Dense layers of one width."""
    builder = NetworkBuilder((inputs,))
    for _ in range(activations):
        builder.dense(width).activation()
    return builder.dense(outputs).network()


def one_conv(inputs: int, size: int, channels: int, outputs: int = 10) -> Network:
    """A 3x3 convolution, pooling to 4 x 4, and a dense layer."""
    return NetworkBuilder((inputs, size, size)).conv(channels, 3).activation().pool(size // 4).dense(outputs).network()


def cnn(shape: Shape, channels: tuple[int, ...], hidden: int, kernel: int = 3, outputs: int = 10) -> Network:
    """Convolutions, each with an activation and 2x2 pooling, then two dense layers."""
    builder = NetworkBuilder(shape)
    for count in channels:
        builder.conv(count, kernel).activation().pool(2)
    return builder.dense(hidden).activation().dense(outputs).network()
