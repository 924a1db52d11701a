"""Numbers on power-of-two grids: quantizing, shifting, and one unified module in integers only. Pure numpy.

Every formula is derived. The paper (arXiv 1901.02064) is known by its abstract, which names bit shifting and rounding.
There is one rounding rule, half up, on real numbers and in shifts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.errors import CompressError
from compress.model.codebook import round_half_up

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Accumulators are 32 bits wide, sign included.
ACCUMULATOR_BITS = 32
#: Fraction bits that are tried, relative to the largest number of them that clips nothing.
WINDOW = range(-1, 4)


@dataclass(frozen=True)
class Grid:
    """Multiples of 2^-fraction_bits in `bits` bits; fraction_bits may be negative, unsigned grids start at zero."""

    fraction_bits: int
    bits: int
    signed: bool

    @property
    def low(self) -> int:
        return -(2 ** (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        return int(2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1)

    @property
    def largest(self) -> int:
        """The largest magnitude of a code."""
        return max(self.high, -self.low)

    def codes(self, values: Array) -> Integers:
        """clip(floor(x 2^N + 1/2), low, high)."""
        return np.clip(round_half_up(np.ldexp(values, self.fraction_bits)), self.low, self.high).astype(np.int64)

    def values(self, codes: NDArray[np.integer]) -> Array:
        """Codes times 2^-N, exact."""
        return np.ldexp(codes.astype(np.float64), -self.fraction_bits)

    def rounded(self, values: Array) -> Array:
        """The nearest number on the grid for every value."""
        return self.values(self.codes(values))


def shift(values: Integers, bits: int) -> Integers:
    """floor(a / 2^s + 1/2) by an arithmetic shift; a left shift, exact, for s <= 0."""
    if bits <= 0:
        return np.left_shift(values, -bits)
    return np.right_shift(values + (1 << (bits - 1)), bits)


def rounded_division(numerators: Integers, denominators: Integers) -> Integers:
    """floor(a / b + 1/2) for positive b: half up, also for negatives."""
    return (2 * numerators + denominators) // (2 * denominators)


def integer_root(values: Integers) -> Integers:
    """The whole number next to the square root of every value in [0, 2^62), bit by bit and without a division."""
    root, left = np.zeros_like(values), values.copy()
    bit = np.int64(1) << 62
    while bit > max(1, int(values.max(initial=0))):
        bit >>= 2
    while bit:
        taken = left >= root + bit
        left = np.where(taken, left - root - bit, left)
        root = np.where(taken, (root >> 1) + bit, root >> 1)
        bit >>= 2
    return root + (left > root)


def unclipped_fraction_bits(values: Array, bits: int, signed: bool) -> int:
    """The largest number of fraction bits that clips nothing, floor(log2(high / max|x|)); 0 for zeros."""
    largest = float(np.abs(values).max(initial=0.0))
    return int(np.floor(np.log2(Grid(0, bits, signed).high / largest))) if largest > 0 else 0


def fraction_window(values: Array, bits: int, signed: bool) -> tuple[int, ...]:
    """Candidates for the fraction bits of a tensor. All are tried, because the error may have several minima."""
    if not np.abs(values).max(initial=0.0) > 0:
        return (0,)
    centre = unclipped_fraction_bits(values, bits, signed)
    return tuple(centre + offset for offset in WINDOW)


def best_grid(values: Array, bits: int, signed: bool) -> Grid:
    """The grid with the least squared error; of equally good grids the one with fewer fraction bits."""
    grids = [Grid(fraction, bits, signed) for fraction in fraction_window(values, bits, signed)]
    errors = [float(np.sum((values - grid.rounded(values)) ** 2)) for grid in grids]
    return grids[int(np.argmin(errors))]


def aligned_sum(terms: Sequence[tuple[Integers, int]], fraction_bits: int) -> Integers:
    """Sum of integers that each have their own fraction bits, on a common grid of `fraction_bits`.

    Parts on coarser grids are shifted up exactly, parts on finer grids are rounded. A caller who must not round gives
    fraction_bits at least as large as those of every part.
    """
    total = np.zeros(1, dtype=np.int64)
    for values, own in terms:
        total = total + shift(values, own - fraction_bits)
    return total


def check_accumulator(layer: str, largest: int) -> None:
    """Raises: CompressError when a sum may leave 32 bits."""
    if largest >= 2 ** (ACCUMULATOR_BITS - 1):
        raise CompressError(
            layer, f"its sums may reach {largest}, more than {ACCUMULATOR_BITS} bits hold; use fewer bits"
        )


def requantized(accumulated: Integers, fraction_bits: int, grid: Grid) -> Integers:
    """Sums shifted from the grid of the accumulator to that of the output, and clipped. Modules round only here."""
    return np.clip(shift(accumulated, fraction_bits - grid.fraction_bits), grid.low, grid.high)
