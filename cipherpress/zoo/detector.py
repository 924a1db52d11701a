"""The digit detector: one stage, anchors on a grid of 8 x 8 cells, convolutions and quadratics alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cipherpress.zoo.detectors import GRID

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
