"""Random torch modules for the selftest: sizes and depths are drawn, the shape of the family stays."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

Generator = np.random.Generator
SMOOTH = (nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU)


def dense(
    rng: Generator, inputs: int, outputs: int, depth: int, *, activation: type[nn.Module] = nn.ReLU, norm: bool = False
) -> nn.Sequential:
    """`depth` hidden layers of random widths, each with an activation, and a linear layer at the end."""
    layers: list[nn.Module] = []
    width = inputs
    for _ in range(depth):
        hidden = int(rng.integers(8, 49))
        layers += [nn.Linear(width, hidden), *([nn.BatchNorm1d(hidden)] if norm else []), activation()]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def convolutions(rng: Generator, shape: tuple[int, ...], classes: int, depth: int) -> nn.Sequential:
    """`depth` convolutions over one or two axes, some with stride, normalization or pooling, and a linear head."""
    rank = len(shape) - 1
    conv, norm = (nn.Conv1d, nn.BatchNorm1d) if rank == 1 else (nn.Conv2d, nn.BatchNorm2d)
    pools = (nn.AvgPool1d, nn.MaxPool1d) if rank == 1 else (nn.AvgPool2d, nn.MaxPool2d)
    layers: list[nn.Module] = []
    channels, size = shape[0], min(shape[1:])
    for _ in range(depth):
        wide = int(rng.integers(3, 7))
        stride = 2 if size >= 8 and rng.random() < 0.4 else 1
        layers.append(conv(channels, wide, 3, stride=stride, padding=1))
        layers += [norm(wide)] if rng.random() < 0.5 else []
        layers.append(nn.ReLU())
        channels, size = wide, -(-size // stride)
        if size >= 8 and rng.random() < 0.4:
            layers.append(pools[int(rng.integers(2))](2))
            size //= 2
    layers.append(nn.Flatten())
    with torch.no_grad():
        features = nn.Sequential(*layers).eval()(torch.zeros(1, *shape)).shape[1]
    return nn.Sequential(*layers, nn.Linear(features, classes))


class Residual(nn.Module):
    """Convolutions with normalization and skips, a mean over positions, and a linear head."""

    def __init__(self, rng: Generator, shape: tuple[int, ...], classes: int, blocks: int) -> None:
        super().__init__()
        width = int(rng.integers(3, 6))
        self.stem = nn.Conv2d(shape[0], width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
            for _ in range(blocks)
        )
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


class Branches(nn.Module):
    """Two branches from two slices of the input, joined by concatenation."""

    def __init__(self, rng: Generator, inputs: int, classes: int) -> None:
        super().__init__()
        self.cut = int(rng.integers(3, inputs - 2))
        left, right = (int(width) for width in rng.integers(6, 25, size=2))
        self.left, self.right = nn.Linear(self.cut, left), nn.Linear(inputs - self.cut, right)
        self.head = nn.Linear(left + right, classes)

    def forward(self, x: Tensor) -> Tensor:
        first, second = x[:, : self.cut], x[:, self.cut :]
        joined = torch.cat([torch.relu(self.left(first)), torch.tanh(self.right(second))], dim=1)
        return self.head(joined)  # type: ignore[no-any-return]


class Gated(nn.Module):
    """A hidden layer that is the product of two linear maps, one of them behind a sigmoid."""

    def __init__(self, rng: Generator, inputs: int, classes: int) -> None:
        super().__init__()
        hidden = int(rng.integers(8, 33))
        self.value, self.gate = nn.Linear(inputs, hidden), nn.Linear(inputs, hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.value(x) * torch.sigmoid(self.gate(x)))  # type: ignore[no-any-return]


class Cubic(nn.Module):
    """Hidden layers with polynomials of the author's own: a square and a cubic close to a sigmoid."""

    def __init__(self, rng: Generator, inputs: int, classes: int) -> None:
        super().__init__()
        first, second = (int(width) for width in rng.integers(8, 33, size=2))
        self.first, self.second, self.head = (
            nn.Linear(inputs, first),
            nn.Linear(first, second),
            nn.Linear(second, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = 0.5 + 0.197 * x - 0.004 * x**3
        x = self.second(x)
        return self.head(0.1 * x * x + x)  # type: ignore[no-any-return]


class TwoInputs(nn.Module):
    """A row of features and a small image, each through a layer of its own, added and classified."""

    def __init__(self, rng: Generator, inputs: int, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        hidden = int(rng.integers(8, 25))
        self.row = nn.Linear(inputs, hidden)
        self.image = nn.Linear(int(np.prod(shape)), hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, row: Tensor, image: Tensor) -> Tensor:
        joined = self.row(row) + self.image(image.flatten(1))
        return self.head(torch.relu(joined))  # type: ignore[no-any-return]


def autoencoder(rng: Generator, inputs: int) -> nn.Sequential:
    """inputs -> narrow -> inputs, with one hidden layer on each side."""
    hidden, code = int(rng.integers(16, 33)), int(rng.integers(4, 9))
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, code),
        nn.Linear(code, hidden),
        nn.ReLU(),
        nn.Linear(hidden, inputs),
    )
