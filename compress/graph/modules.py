"""The torch modules that conversion puts into a model: a trainable polynomial and a per-channel affine map."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.coefficients import substitute
from compress.graph.polynomial import guard_leading


class PolynomialActivation(nn.Module):
    """y = sum_k coefficients[k] z^k with z = (x - centre) / width, element-wise.

    coefficients: (degree + 1, channels or 1). On the calibrated range z lies in [-1, 1], so that all coefficients learn
    at the same rate. Several channels run along axis 1 of x (batch, channels, ...).
    """

    centre: Tensor
    width: Tensor

    def __init__(self, coefficients: NDArray[np.float64], centre: float = 0.0, width: float = 1.0) -> None:
        super().__init__()
        values = torch.as_tensor(np.atleast_2d(np.asarray(coefficients, dtype=np.float64).T).T.copy())
        self.coefficients = nn.Parameter(values.to(torch.get_default_dtype()))
        self.register_buffer("centre", torch.tensor(float(centre)))
        self.register_buffer("width", torch.tensor(float(width)))
        self.excess: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        z = (x - self.centre) / self.width
        if self.training:
            self.excess = torch.relu(z.abs() - 1.0).square().mean()
        rows = self.coefficients.reshape(self.coefficients.shape + (1,) * (x.ndim - 2))
        result = rows[-1] * z + rows[-2]
        for row in range(self.coefficients.shape[0] - 3, -1, -1):
            result = result * z + rows[row]
        return result

    def monomials(self) -> NDArray[np.float64]:
        """Float64 coefficients in x itself, shape (degree + 1, channels or 1)."""
        values = self.coefficients.detach().to(torch.float64).numpy()
        return substitute(values, float(self.centre), float(self.width))

    @torch.no_grad()
    def guard(self) -> None:
        """Keep the leading coefficient away from zero (see `guard_leading`); to be called after each training step."""
        values = guard_leading(self.coefficients.to(torch.float64).numpy())
        self.coefficients.copy_(torch.as_tensor(values))


class ChannelAffine(nn.Module):
    """y = scale * x + shift along axis 1 of x (batch, channels, ...): batch normalization with frozen statistics."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale.detach().clone())
        self.shift = nn.Parameter(shift.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.ndim - 2)
        return x * self.scale.reshape(shape) + self.shift.reshape(shape)


def polynomial_activations(model: nn.Module) -> Iterator[PolynomialActivation]:
    """The trainable polynomials of a model."""
    return (module for module in model.modules() if isinstance(module, PolynomialActivation))
