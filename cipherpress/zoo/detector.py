"""The digit detector: one stage, anchors on a grid of 8 x 8 cells, convolutions and quadratics alone."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from cipherpress.zoo.detectors import GRID
from compress.errors import ModelError
from compress.network import Conv, Network, Polynomial

#: Channels of the four convolutions.
WIDTHS = (16, 32, 48, 48)


class Quadratic(nn.Module):
    """y = square x^2 + line x with two trained numbers per channel: an activation that CKKS computes exactly."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.square = nn.Parameter(torch.full((1, channels, 1, 1), 0.2))
        self.line = nn.Parameter(torch.full((1, channels, 1, 1), 0.6))

    def forward(self, x: Tensor) -> Tensor:
        return self.square * x * x + self.line * x


def digit_detector() -> nn.Module:
    """The network, with fresh weights: (1, 64, 64) to the outputs of `cipherpress.zoo.detectors.GRID`, (40, 8, 8)."""
    first, second, third, fourth = WIDTHS
    return nn.Sequential(
        *_block(1, first, kernel=6, stride=4, padding=1),
        *_block(first, second, kernel=3, stride=2, padding=1),
        *_block(second, third, kernel=3, stride=1, padding=1),
        *_block(third, fourth, kernel=3, stride=1, padding=1),
        nn.Conv2d(fourth, GRID.channels, 1),
    )


def _block(inputs: int, channels: int, *, kernel: int, stride: int, padding: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, channels, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(channels),
        Quadratic(channels),
    )


def detector_module(network: Network) -> nn.Sequential:
    """The torch module of a converted detector: convolutions with the normalization folded in, and quadratics.

    Raises: ModelError for a network of anything else.
    """
    parts: list[nn.Module] = []
    for node in network.nodes[1:]:
        if isinstance(node, Conv):
            weight = torch.tensor(node.weights.values(), dtype=torch.float32)
            bias = torch.tensor(node.bias, dtype=torch.float32)
            parts.append(_conv(weight, bias, stride=node.stride, padding=node.padding))
        elif isinstance(node, Polynomial) and node.coefficients.shape[0] == 3 and not node.coefficients[0].any():
            activation = Quadratic(node.coefficients.shape[1])
            line, square = (
                torch.tensor(row, dtype=torch.float32).reshape(1, -1, 1, 1) for row in node.coefficients[1:]
            )
            activation.line.data, activation.square.data = line, square
            parts.append(activation)
        else:
            raise ModelError(f"network: node '{node.name}' is no part of a digit detector; give one of those that ship")
    return nn.Sequential(*parts).eval()


def narrowed(module: nn.Sequential) -> nn.Sequential:
    """The same network without the channels that the next convolution does not read; outputs stay equal."""
    parts: list[Any] = [copy.deepcopy(part) for part in module]
    for place in range(0, len(parts) - 2, 2):
        first, activation, second = parts[place : place + 3]
        read = second.weight.detach().abs().amax(dim=(0, 2, 3)) > 0
        options = [{"stride": one.stride, "padding": one.padding} for one in (first, second)]
        parts[place] = _conv(first.weight[read], first.bias[read], **options[0])
        for name in ("square", "line"):
            setattr(activation, name, nn.Parameter(getattr(activation, name).detach()[:, read]))
        parts[place + 2] = _conv(second.weight[:, read], second.bias, **options[1])
    return nn.Sequential(*parts).eval()


def _conv(weight: Tensor, bias: Tensor, **options: Any) -> nn.Conv2d:
    """A convolution with copies of these weights (out, in, height, width) and biases."""
    outputs, inputs, height, width = weight.shape
    made = nn.Conv2d(inputs, outputs, (height, width), **options)
    made.weight, made.bias = (nn.Parameter(values.detach().clone()) for values in (weight, bias))
    return made
