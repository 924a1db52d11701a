"""The torch modules that conversion puts into a model: trainable polynomials and a per-channel affine map."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.coefficients import substitute
from compress.graph.polynomial import guard_leading

#: In training, inputs of a quadratic end here, in units of the range. A row that explodes from layer to layer would
#: overflow otherwise, and its batch with it; so the penalty alone pulls it back.
CUT = 8.0

#: The range of a normalized input, in standard deviations: beyond it a quadratic and its activation soon differ.
RANGE_SIGMAS = 3.0

#: Smallest leading coefficient relative to the linear one while a deep network trains. In units of a standard deviation
#: that is 0.05 beside the slope 0.5 of ReLU.
LEAST_NORMALIZED_CURVATURE = 0.1 * RANGE_SIGMAS

#: Where the penalty on the largest value of a row begins, in units of the range: 4 standard deviations.
PEAK = 4.0 / RANGE_SIGMAS

#: Added to variances, so that a channel that never varies can be normalized.
EPSILON = 1e-5


class PolynomialActivation(nn.Module):
    """y = sum_k coefficients[k] z^k with z = (x - centre) / width, element-wise.

    coefficients: (degree + 1, channels or 1). centre, width: numbers, or one per channel. On the calibrated range z
    lies in [-1, 1], so that all coefficients learn at the same rate. Several channels run along axis 1 of x (batch,
    channels, ...). peak_weight: of the largest |z| of each row beyond PEAK in the penalty `excess`.
    """

    centre: Tensor
    width: Tensor

    def __init__(
        self,
        coefficients: NDArray[np.float64],
        centre: float | NDArray[np.float64] = 0.0,
        width: float | NDArray[np.float64] = 1.0,
        peak_weight: float = 0.0,
    ) -> None:
        super().__init__()
        values = torch.as_tensor(np.atleast_2d(np.asarray(coefficients, dtype=np.float64).T).T.copy())
        self.coefficients = nn.Parameter(values.to(torch.get_default_dtype()))
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.get_default_dtype()))
        self.register_buffer("width", torch.tensor(width, dtype=torch.get_default_dtype()))
        self.peak_weight = peak_weight
        self.excess: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        return evaluate_rows(self.coefficients, self.normal(x))

    def normal(self, x: Tensor) -> Tensor:
        """z. In training it ends at CUT, and its range penalty is kept as `excess`."""
        z = (x - on_channels(self.centre, x)) / on_channels(self.width, x)
        if not self.training:
            return z
        self.excess = range_penalty(z, self.peak_weight)
        return z.clamp(-CUT, CUT)

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    def monomials(self) -> NDArray[np.float64]:
        """Float64 coefficients in x itself, shape (degree + 1, channels or 1)."""
        values, centre, width = (
            part.detach().to(torch.float64).cpu().numpy() for part in (self.coefficients, self.centre, self.width)
        )
        return substitute(values, centre, width)

    @torch.no_grad()
    def guard(self) -> None:
        """Keep the leading coefficient of a quadratic away from zero (see `guard_leading`); called after each step."""
        if self.degree == 2:
            values = guard_leading(self.coefficients.to(torch.float64).cpu().numpy())
            self.coefficients.copy_(torch.as_tensor(values))


class NormalizedActivation(nn.Module):
    """An activation on its way to a quadratic of its normalized input, one per channel, while a deep network trains.

    z = (x - mean) / (RANGE_SIGMAS deviation) by channel, with statistics of the batch in training mode and running ones
    in evaluation mode. The value is (1 - blend) f(mean_0 + RANGE_SIGMAS deviation_0 z) + blend (q2 z^2 + q1 z + q0),
    where f is the activation and mean_0 and deviation_0 are the statistics that it started with. So values keep their
    size from layer to layer, whatever the weights before do, and with blend 0 the network is the given one. `folded`
    makes a PolynomialActivation of it.
    """

    running_mean: Tensor
    running_var: Tensor
    start_mean: Tensor
    start_deviation: Tensor

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        coefficients: NDArray[np.float64],
        mean: NDArray[np.float64],
        deviation: NDArray[np.float64],
        peak_weight: float,
    ) -> None:
        """coefficients: (3, channels), in z. mean, deviation: (channels,), the latter with EPSILON in its variance."""
        super().__init__()
        dtype = torch.get_default_dtype()
        self.function = function
        self.coefficients = nn.Parameter(torch.as_tensor(coefficients, dtype=dtype))
        self.register_buffer("start_mean", torch.as_tensor(mean, dtype=dtype))
        self.register_buffer("start_deviation", torch.as_tensor(deviation, dtype=dtype))
        self.register_buffer("running_mean", torch.as_tensor(mean, dtype=dtype))
        self.register_buffer("running_var", torch.as_tensor(deviation**2 - EPSILON, dtype=dtype))
        self.peak_weight = peak_weight
        self.blend, self.momentum = 0.0, 0.1
        self.excess: Tensor | None = None

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    def forward(self, x: Tensor) -> Tensor:
        by_batch = self.training and len(x) > 1  # one row of features has no deviation
        normal = F.batch_norm(
            x, self.running_mean, self.running_var, training=by_batch, momentum=self.momentum, eps=EPSILON
        )
        z = normal / RANGE_SIGMAS
        if self.training:
            self.excess = range_penalty(z, self.peak_weight)
        if self.blend >= 1:
            return evaluate_rows(self.coefficients, z)
        given = self.function(normal * on_channels(self.start_deviation, x) + on_channels(self.start_mean, x))
        return torch.lerp(given, evaluate_rows(self.coefficients, z), self.blend) if self.blend > 0 else given

    def folded(self) -> PolynomialActivation:
        """The quadratic with the running statistics as constants."""
        coefficients, mean, variance = (
            part.detach().to(torch.float64).cpu().numpy()
            for part in (self.coefficients, self.running_mean, self.running_var)
        )
        width = RANGE_SIGMAS * np.sqrt(variance + EPSILON)
        return PolynomialActivation(coefficients, mean, width, self.peak_weight).to(self.running_mean.device)

    @torch.no_grad()
    def guard(self) -> None:
        """Keep the leading coefficient away from zero (see `guard_leading`); to be called after each training step."""
        values = guard_leading(self.coefficients.to(torch.float64).cpu().numpy(), LEAST_NORMALIZED_CURVATURE)
        self.coefficients.copy_(torch.as_tensor(values))


def range_penalty(z: Tensor, peak_weight: float) -> Tensor:
    """mean (|z| - 1)+^2 + peak_weight mean over rows (largest |z| - PEAK)+^2; z (batch, ...), in units of the range."""
    size = z.abs()
    total = torch.relu(size - 1.0).square().mean()
    if peak_weight:
        total = total + peak_weight * torch.relu(size.amax(dim=tuple(range(1, size.ndim))) - PEAK).square().mean()
    return total


def evaluate_rows(coefficients: Tensor, z: Tensor) -> Tensor:
    """sum_k coefficients[k] z^k by Horner's rule; coefficients (degree + 1, channels or 1), z (batch, channels, ...)"""
    rows = coefficients.reshape(coefficients.shape + (1,) * (z.ndim - 2))
    result = rows[-1] * z + rows[-2]
    for row in range(coefficients.shape[0] - 3, -1, -1):
        result = result * z + rows[row]
    return result


def on_channels(values: Tensor, x: Tensor) -> Tensor:
    """A number, or one per channel in a shape that broadcasts along axis 1 of x (batch, channels, ...)."""
    return values if values.ndim == 0 else values.reshape((-1,) + (1,) * (x.ndim - 2))


class ChannelAffine(nn.Module):
    """y = scale * x + shift along axis 1 of x (batch, channels, ...): batch normalization with frozen statistics."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale.detach().clone())
        self.shift = nn.Parameter(shift.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return x * on_channels(self.scale, x) + on_channels(self.shift, x)


def polynomial_activations(model: nn.Module) -> Iterator[PolynomialActivation | NormalizedActivation]:
    """The trainable polynomials of a model, those on their way included."""
    return (module for module in model.modules() if isinstance(module, (PolynomialActivation, NormalizedActivation)))
