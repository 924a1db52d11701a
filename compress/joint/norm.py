"""Layer normalization in integers: exact sums, an integer square root, one rounded division. Pure numpy.

For a row of K codes x on a grid of N fraction bits:

    c_i = K x_i - sum x                     K times the distance from the mean, exact
    V   = K sum x^2 - (sum x)^2             K^2 times the variance, exact
    R   = root(V 4^r + E)                   next whole number; E = round(epsilon K^2 4^(N + r))
    o_i = clip(floor((g_i c_i 2^r + b_i R) / R + 1/2))    gains g, shifts b and output each on a grid, aligned by shifts

Only the division rounds. Everything is 32 bits wide except V, of which each row has one: at 8 bits K^2 X^2 needs more
than 32 bits from a width of 363 on, and a coarser V would lose more than 64-bit numbers cost. `simulated_norm` is the
same in exact float64, so that the two agree bit for bit. R is the deviation to within half a unit of 2^r K codes. All
of this is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.errors import CompressError
from compress.joint.fixed_point import (
    ACCUMULATOR_BITS,
    Grid,
    Integers,
    check_accumulator,
    integer_root,
    rounded_division,
)

Array = NDArray[np.float64]

#: The root gets no more fraction bits once its largest value has this many bits.
ROOT_BITS = 15
#: Up to this many bits float64 tells neighbouring square roots apart, which the simulation needs.
MOST_RADICAND = 2**46


@dataclass(frozen=True)
class NormCodes:
    """One normalization's integers. gain, shift: codes (width,) with their own fraction bits; input, output: grids."""

    layer: str
    width: int
    input: Grid
    gain: Integers
    gain_fraction_bits: int
    shift: Integers
    shift_fraction_bits: int
    epsilon: float
    output: Grid

    @property
    def root_bits(self) -> int:
        """Extra fraction bits r of the root."""
        return max(0, ROOT_BITS - (self.width * self.input.largest - 1).bit_length())

    @property
    def epsilon_code(self) -> int:
        """E: epsilon on the grid of the radicand."""
        return round(self.epsilon * self.width**2 * 4.0 ** (self.input.fraction_bits + self.root_bits))

    @property
    def shifts(self) -> tuple[int, int, int]:
        """Left shifts of g c, b R and R that bring the quotient to the grid of the output; none is negative."""
        gain = self.root_bits + self.output.fraction_bits - self.gain_fraction_bits
        shift = self.output.fraction_bits - self.shift_fraction_bits
        root = max(0, -gain, -shift)
        return gain + root, shift + root, root

    @property
    def largest_radicand(self) -> int:
        return ((self.width * self.input.largest) ** 2 << 2 * self.root_bits) + self.epsilon_code

    @property
    def largest_sum(self) -> int:
        """Bound on every 32-bit number of the run: twice the division's numerator plus its denominator."""
        gain, shift, root = self.shifts
        centred = self.width * (self.input.high - self.input.low)
        largest_root = int(np.ceil(np.sqrt(float(self.largest_radicand)))) + 1
        numerator = int(np.abs(self.gain).max(initial=0)) * centred << gain
        numerator += int(np.abs(self.shift).max(initial=0)) * largest_root << shift
        return 2 * numerator + (largest_root << root)

    @property
    def fits(self) -> bool:
        """Whether the run stays within its widths."""
        return self.largest_sum < 2 ** (ACCUMULATOR_BITS - 1) and self.largest_radicand < MOST_RADICAND

    def check(self) -> None:
        """Raises: CompressError when the run may leave its widths."""
        check_accumulator(self.layer, self.largest_sum)
        if self.largest_radicand >= MOST_RADICAND:
            raise CompressError(
                self.layer, f"its variance may reach {self.largest_radicand}, more than 46 bits; use fewer bits"
            )


def integer_norm(codes: Integers, norm: NormCodes) -> Integers:
    """Output codes of the normalization over the last axis."""
    total = codes.sum(axis=-1, keepdims=True)
    centred = norm.width * codes - total
    variance = norm.width * (codes * codes).sum(axis=-1, keepdims=True) - total * total
    root = np.maximum(integer_root((variance << 2 * norm.root_bits) + norm.epsilon_code), 1)
    gain, shift, denominator = norm.shifts
    numerators = (norm.gain * centred << gain) + (norm.shift * root << shift)
    return np.clip(rounded_division(numerators, root << denominator), norm.output.low, norm.output.high)


def simulated_norm(values: Array, norm: NormCodes) -> Array:
    """The same values from real inputs on the input's grid, float64."""
    return divided(*deviations(values, norm), norm)


def deviations(values: Array, norm: NormCodes) -> tuple[Array, Array]:
    """(c, R) of real inputs on the grid of the input; neither depends on gains, shifts or the output grid."""
    scaled = np.ldexp(values, norm.input.fraction_bits)
    total = scaled.sum(axis=-1, keepdims=True)
    variance = norm.width * (scaled * scaled).sum(axis=-1, keepdims=True) - total * total
    root = np.floor(np.sqrt(np.ldexp(variance, 2 * norm.root_bits) + norm.epsilon_code) + 0.5)
    return norm.width * scaled - total, np.maximum(root, 1.0)


def divided(centred: Array, root: Array, norm: NormCodes) -> Array:
    """Values on the output's grid from (c, R)."""
    gain = np.ldexp(norm.gain.astype(np.float64), norm.root_bits - norm.gain_fraction_bits)
    shift = np.ldexp(norm.shift.astype(np.float64), -norm.shift_fraction_bits)
    return norm.output.rounded((gain * centred + shift * root) / root)


def float_norm(values: Array, gain: Array, shift: Array, epsilon: float) -> Array:
    """Layer normalization over the last axis, float64."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon) * gain + shift)
