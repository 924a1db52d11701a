"""The torch modules of a native network: linear layers, each followed by a square, and a last linear layer.

`Learned` normalizes before every square, and is trained first. Every unit is then the square of a normalized sum with a
scale and a shift of its own, so that it is a parabola a u^2 + b u + c of its sum. `rounded` folds the normalizations
into weights and brings every unit to a root mean square of 1; `Rounded` is trained on with weights that are rounded to
few bits: forward with codes times a power of two, backward as if they were not rounded (Bengio et al. 2013, arXiv
1308.3432).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.conversion.exporting import norm_factors
from compress.errors import CalibrationError

#: Steps of weights that are tried, as powers of two below the largest weight.
TRIED_STEPS = 6
#: The least root mean square of a unit's sum that it is divided by.
LEAST_SIZE = 1e-6


class Learned(nn.Module):
    """(batch, features) to (batch, classes); every hidden layer is normalized, then squared."""

    def __init__(self, features: int, hidden: Sequence[int], classes: int) -> None:
        super().__init__()
        sizes = [features, *hidden]
        self.linears = nn.ModuleList(nn.Linear(*pair) for pair in zip(sizes, sizes[1:], strict=False))
        self.norms = nn.ModuleList(nn.BatchNorm1d(units) for units in hidden)
        self.last = nn.Linear(sizes[-1], classes)
        for norm in self.norms:  # a shift makes a unit partly linear
            nn.init.uniform_(norm.bias, -1.0, 1.0)  # type: ignore[arg-type]

    def hidden(self) -> Iterator[tuple[nn.Linear, nn.BatchNorm1d]]:
        """Every hidden layer with its normalization."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            assert isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
            yield linear, norm

    def forward(self, rows: Tensor) -> Tensor:
        for linear, norm in self.hidden():
            rows = norm(linear(rows)).square()
        return self.last(rows)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Coded:
    """A layer's weights as integers: values = codes * 2**log2_step, (out, in); bias (out,) float64."""

    codes: NDArray[np.int64]
    log2_step: int
    bias: NDArray[np.float64]


class RoundedLinear(nn.Module):
    """A linear layer whose weights are rounded to codes of so many bits times a power of two."""

    def __init__(self, weight: Tensor, bias: Tensor, bits: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())
        self.largest = 2 ** (bits - 1) - 1
        self.log2_step = best_step(weight, self.largest)

    def codes(self) -> Tensor:
        """Whole numbers, (out, in)."""
        return torch.round(self.weight * 2.0**-self.log2_step).clamp(-self.largest, self.largest)

    def forward(self, rows: Tensor) -> Tensor:
        kept = self.codes() * 2.0**self.log2_step
        straight_through = self.weight + (kept - self.weight).detach()
        return nn.functional.linear(rows, straight_through, self.bias)

    def coded(self) -> Coded:
        codes = self.codes().detach().cpu().numpy().astype(np.int64)
        return Coded(codes, self.log2_step, self.bias.detach().cpu().double().numpy())


class Rounded(nn.Module):
    """(batch, features) to (batch, classes) with rounded weights and squares."""

    def __init__(self, layers: Sequence[RoundedLinear]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, rows: Tensor) -> Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            rows = layer(rows).square()
        return last(rows)  # type: ignore[no-any-return]

    def coded(self) -> list[Coded]:
        """Every layer as integers."""
        return [layer.coded() for layer in self.layers]  # type: ignore[operator,union-attr]


def rounded(learned: Learned, bits: int) -> Rounded:
    """The same network without normalizations, its weights as codes of so many bits.

    A unit's sum has root mean square sqrt(scale^2 + shift^2) after its normalization. It is divided by that, and what
    reads its square multiplied by the square of it, so that all units use the same range.
    Raises: CalibrationError for weights that are not finite.
    """
    layers, growth = [], torch.ones((), dtype=torch.float64, device=learned.last.weight.device)
    with torch.no_grad():
        for linear, norm in learned.hidden():
            scale, shift = norm_factors(norm)
            size = torch.sqrt(norm.weight.double() ** 2 + norm.bias.double() ** 2).clamp_min(LEAST_SIZE)
            own = scale / size
            weight = linear.weight.double() * growth * own[:, None]
            layers.append((weight, linear.bias.double() * own + shift / size))
            growth = size**2
        last = learned.last
        layers.append((last.weight.double() * growth, last.bias.double()))
    if not all(torch.isfinite(values).all() for layer in layers for values in layer):
        raise CalibrationError(None, "training a native network diverged; try a smaller learning rate")
    return Rounded([RoundedLinear(weight, bias, bits) for weight, bias in layers])


def best_step(weight: Tensor, largest: int) -> int:
    """log2 of the power of two whose multiples up to `largest` are closest to the weights (mean square)."""
    top = max(float(weight.abs().max()), torch.finfo(torch.float32).tiny)
    start = int(np.ceil(np.log2(top / largest)))
    errors = {}
    for log2_step in range(start - TRIED_STEPS, start + 1):
        kept = torch.round(weight * 2.0**-log2_step).clamp(-largest, largest) * 2.0**log2_step
        errors[log2_step] = float((kept - weight).square().sum())
    return min(errors, key=lambda step: errors[step])
