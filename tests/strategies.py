"""Hypothesis strategies shared by the test files: small random torch networks of supported layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from compress.graph.modules import PolynomialActivation


@dataclass(frozen=True)
class SmallNetwork:
    """A float64 module in evaluation mode, and the shape of its input (without batch)."""

    module: nn.Module
    input_shape: tuple[int, ...]

    def images(self, count: int = 6, seed: int = 0) -> np.ndarray:
        """Standard normal inputs, (count, *input_shape), float64."""
        return np.random.default_rng(seed).standard_normal((count, *self.input_shape))

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """The module's outputs in torch, float64."""
        with torch.no_grad():
            return self.module(torch.from_numpy(np.ascontiguousarray(images))).numpy()


class Residual(nn.Module):
    """x + inner(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


@st.composite
def small_networks(draw: Any, *, max_layers: int = 4, max_activations: int = 2, relu: bool = False) -> SmallNetwork:
    """Random stacks of linear maps, pooling, normalization, residual sums and activations, ending in a Linear.

    Only exact operations unless `relu`: then activations are ReLU, which conversion has to replace. At most
    `max_activations` squares follow each other (a quartic counts as two).
    """
    rank = draw(st.integers(0, 2), label="spatial axes")
    torch.manual_seed(draw(st.integers(0, 2**20), label="weights"))
    shape = (draw(st.integers(1, 12)),) if rank == 0 else (draw(st.integers(1, 3)), *draw_sizes(draw, rank))
    input_shape, layers, squarings = shape, [], 0
    for _ in range(draw(st.integers(1, max_layers))):
        layer = draw(_layers(shape, allow_activation=squarings < max_activations, relu=relu))
        squarings += 1 if isinstance(layer, (PolynomialActivation, nn.ReLU)) else 0
        layers.append(layer)
        shape = _shape_after(layer, shape)
    if len(shape) > 1:
        layers.append(nn.Flatten())
    layers.append(nn.Linear(int(np.prod(shape)), draw(st.integers(1, 5)), bias=draw(st.booleans())))
    return SmallNetwork(nn.Sequential(*layers).double().eval(), input_shape)


def draw_sizes(draw: Any, rank: int) -> tuple[int, ...]:
    return tuple(draw(st.integers(3, 8)) for _ in range(rank))


@st.composite
def _layers(draw: Any, shape: tuple[int, ...], *, allow_activation: bool, relu: bool) -> nn.Module:
    """One layer that accepts a value of `shape`."""
    rank, channels = len(shape) - 1, shape[0]
    kinds = ["norm", "residual"] + (["linear"] if rank == 0 else ["conv", "conv", "pool", "adaptive"])
    kind = draw(st.sampled_from(kinds + ["activation"] * (2 if allow_activation else 0)), label="layer")
    if kind == "linear":
        return nn.Linear(channels, draw(st.integers(1, 12)))
    if kind == "norm":
        return _random_norm(channels, rank)
    if kind == "residual":
        same: nn.Module = nn.Linear(channels, channels)
        if rank:
            same = (nn.Conv1d if rank == 1 else nn.Conv2d)(channels, channels, 3, padding=1)
        return Residual(same)
    if kind == "activation":
        return nn.ReLU() if relu else _random_polynomial(draw, channels)
    if kind == "conv":
        return _random_conv(draw, shape)
    if kind == "pool":
        kernel = tuple(draw(st.integers(1, min(3, size))) for size in shape[1:])
        padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
        stride = tuple(draw(st.integers(1, 2)) for _ in kernel)
        return nn.AvgPool1d(kernel[0], stride[0], padding[0]) if rank == 1 else nn.AvgPool2d(kernel, stride, padding)
    targets = tuple(draw(st.sampled_from([d for d in range(1, size + 1) if size % d == 0])) for size in shape[1:])
    return nn.AdaptiveAvgPool1d(targets[0]) if rank == 1 else nn.AdaptiveAvgPool2d(targets)


def _random_conv(draw: Any, shape: tuple[int, ...]) -> nn.Module:
    rank, channels = len(shape) - 1, shape[0]
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
    out = groups * draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(rank))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding = tuple(max(draw(st.integers(0, 2)), r - size) for r, size in zip(reach, shape[1:], strict=True))
    stride = tuple(draw(st.integers(1, 2)) for _ in range(rank))
    make = nn.Conv1d if rank == 1 else nn.Conv2d
    bias = draw(st.booleans())
    return make(channels, out, kernel, stride, padding, dilation, groups, bias)


def _random_norm(channels: int, rank: int) -> nn.Module:
    norm = nn.BatchNorm2d(channels) if rank == 2 else nn.BatchNorm1d(channels)
    with torch.no_grad():
        norm.running_mean.normal_(std=0.3)
        norm.running_var.uniform_(0.5, 2.0)
        norm.weight.uniform_(0.5, 1.5).mul_(torch.randint(0, 2, (channels,)) * 2 - 1)
        norm.bias.normal_(std=0.3)
    return norm


def _random_polynomial(draw: Any, channels: int) -> PolynomialActivation:
    columns = channels if draw(st.booleans()) else 1
    c0, c1 = torch.rand(2, columns).numpy() - 0.5
    sign = 1.0 if draw(st.booleans()) else -1.0
    c2 = sign * (0.1 + 0.3 * torch.rand(columns).numpy())
    return PolynomialActivation(np.stack([c0, 2 * c1, c2]), centre=0.2, width=draw(st.sampled_from([1.0, 1.5])))


def _shape_after(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(layer.double().eval()(torch.zeros(2, *shape, dtype=torch.float64)).shape[1:])
