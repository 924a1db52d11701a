"""The shared codebook of a layer: integer codes, one rounding rule, power-of-two steps. Pure numpy.

Granularity "layer" has one step per layer. This is the literal reading of OPQ's "unified channel-wise" quantizer: one
codebook, of which channels use different numbers of levels. Granularity "channel" has one power-of-two step per output
channel, over the same codebook.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from compress.network import read_only

Array = NDArray[np.float64]
Granularity = Literal["layer", "channel"]


@dataclass(frozen=True)
class LayerCodes:
    """One layer's codes int32 (out, ...) in [-levels, levels], log2_step () or (out,), and mask, True where kept.

    The arrays are read-only.
    """

    codes: NDArray[np.int32]
    log2_step: NDArray[np.int32]
    mask: NDArray[np.bool_]
    levels: int

    def __post_init__(self) -> None:
        for name in ("codes", "log2_step", "mask"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    @property
    def granularity(self) -> Granularity:
        return "layer" if self.log2_step.ndim == 0 else "channel"

    @property
    def bits(self) -> int:
        """Bits of one code with its sign and a zero level."""
        return level_bits(self.levels)

    def values(self) -> Array:
        """Dequantized weights, float64."""
        steps: Array = per_channel(np.exp2(self.log2_step.astype(np.float64)), self.codes.ndim)
        return np.multiply(self.codes, steps, dtype=np.float64)


def per_channel(values: NDArray[Any], ndim: int) -> NDArray[Any]:
    """Values of shape () or (out,), reshaped so that they broadcast against a weight with `ndim` axes."""
    return values if values.ndim == 0 else values.reshape((-1,) + (1,) * (ndim - 1))


def level_bits(levels: int) -> int:
    """Bits B of a symmetric codebook with levels L = 2^(B-1) - 1 on each side and a zero."""
    return int(levels).bit_length() + 1


def bits_levels(bits: int) -> int:
    """Levels L = 2^(B-1) - 1 on each side of zero."""
    return int(2 ** (bits - 1) - 1)


def round_half_up(values: Array) -> Array:
    """The nearest whole number; of two equally near the upper one.

    Simulation and export both use this rule (np.round would round half to even). It is computed without x + 1/2,
    because that sum is rounded: 0.49999997 would become 1 in float32 and 0 in float64.
    """
    whole = np.floor(values)
    return whole + (values - whole >= 0.5)


def quantize(weights: Array, log2_step: NDArray[np.int32], levels: int) -> NDArray[np.int32]:
    """Codes clip(round_half_up(w / 2^log2_step), +-levels), the shape of the weights."""
    step = per_channel(np.exp2(np.asarray(log2_step, dtype=np.float64)), weights.ndim)
    return np.clip(round_half_up(weights / step), -levels, levels).astype(np.int32)


def power_of_two_step(weights: Array, step: float, levels: int) -> int:
    """log2 of the power of two next to `step` with the smaller squared error after clipping (derived)."""
    below = int(np.floor(np.log2(step)))
    errors = [squared_error(weights, exponent, levels) for exponent in (below, below + 1)]
    return below + int(errors[1] < errors[0])


def squared_error(weights: Array, log2_step: int, levels: int) -> float:
    """Sum of squared differences between weights and their dequantized codes."""
    codes = quantize(weights, np.array(log2_step, dtype=np.int32), levels)
    return float(np.sum((weights - codes * 2.0**log2_step) ** 2))
