"""Two networks that are not of the zoo, for `cipherpress train|press examples/fashion.py:mlp --data fashion-mnist`.

One with GELU and batch normalization, one with two convolutions, max pooling and a residual addition.
"""

from __future__ import annotations

import torch
from torch import nn


def mlp() -> nn.Module:
    """784-128-64-10 with batch normalization and GELU."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 128),
        nn.BatchNorm1d(128),
        nn.GELU(),
        nn.Linear(128, 64),
        nn.BatchNorm1d(64),
        nn.GELU(),
        nn.Linear(64, 10),
    )


class Residual(nn.Module):
    """y = x + convolution(x), before its activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.normalization = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.normalization(self.convolution(x))


def cnn() -> nn.Module:
    """Two convolutions of 8 channels, the second inside a residual addition, max pooling, two dense layers."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        Residual(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
