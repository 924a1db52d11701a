"""Softmax in 32-bit integers: distances from the row's maximum, a table of 256 powers of two, one division. Pure.

    t_i = round(256 log2(e) scale (max - s_i))        by an integer multiplier and a shift; 256ths of a binary exponent
    e_i = table[t_i mod 256] >> (t_i div 256)         table[j] = round(2^15 2^(-j/256))
    p_i = clip(floor(e_i 2^N / sum e + 1/2))          the only quantization point, on the output's grid

`simulated_softmax` is the same in float64 on real numbers. Every number in it is exact, so that the two agree bit for
bit. `error_bound` bounds how far both are from the real softmax. All of this is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, e, floor, log, log2

import numpy as np
from numpy.typing import NDArray

from compress.errors import CompressError
from compress.joint.fixed_point import ACCUMULATOR_BITS, Grid, Integers, rounded_division, shift
from compress.model.codebook import round_half_up

Array = NDArray[np.float64]

#: The fraction of a binary exponent is in units of 2^-8, so that the table has 256 entries.
INDEX_BITS = 8
#: Fraction bits of an entry, which lies in (1/2, 1].
ENTRY_BITS = 15
#: Shifts by this many bits or more make any entry zero.
LAST_SHIFT = ENTRY_BITS + 1
#: Differences are rounded to steps of 2^-5 to 2^-4 of a table index.
SCORE_BITS = 5
#: Fraction bits of the multiplier, which has 13 bits. Its product with the largest difference stays below 2^30.
MULTIPLIER_BITS = 17
#: Largest number of entries per row, so that their sum stays within 2^30.
MOST_ENTRIES = 2 ** (ACCUMULATOR_BITS - 2 - ENTRY_BITS)
#: Most fraction bits of the output, so that twice the numerator plus the denominator stays below 2^31.
MOST_OUTPUT_BITS = ACCUMULATOR_BITS - 4 - ENTRY_BITS

TABLE: Integers = round_half_up(np.exp2(ENTRY_BITS - np.arange(2**INDEX_BITS) / 2**INDEX_BITS)).astype(np.int64)


@dataclass(frozen=True)
class Exponent:
    """How a difference d becomes a table index: shift(min(d, largest) * multiplier, MULTIPLIER_BITS).

    fraction_bits: those of d. largest: from this difference on the power is zero.
    """

    fraction_bits: int
    multiplier: int
    largest: int


def exponent(layer: str, scale: float) -> Exponent:
    """The exponent of softmax(scale * s). Raises: CompressError when scale is not positive and finite."""
    if not 0 < scale < float("inf"):
        raise CompressError(layer, f"scales its scores by {scale}; softmax in integers takes a positive number")
    fraction_bits = floor(INDEX_BITS + SCORE_BITS + log2(scale * log2(e)))
    index_a_unit = scale * log2(e) * 2.0 ** (INDEX_BITS - fraction_bits)
    multiplier = round(index_a_unit * 2**MULTIPLIER_BITS)
    return Exponent(fraction_bits, multiplier, ceil(LAST_SHIFT * 2**INDEX_BITS / index_a_unit) + 1)


def softmax_grid(fraction_bits: int, bits: int) -> Grid:
    """The grid of the output: unsigned, and as fine as the division allows at most."""
    return Grid(max(0, min(fraction_bits, MOST_OUTPUT_BITS)), bits, False)


def integer_softmax(scores: Integers, fraction_bits: int, rule: Exponent, grid: Grid) -> Integers:
    """Codes on `grid` of the softmax over the last axis, from scores with `fraction_bits` fraction bits.

    Within 32 bits for scores below 2^30 and rows of at most MOST_ENTRIES; the first shift saturates at rule.largest.
    """
    differences = shift(scores.max(axis=-1, keepdims=True) - scores, fraction_bits - rule.fraction_bits)
    indices = shift(np.minimum(differences, rule.largest) * rule.multiplier, MULTIPLIER_BITS)
    powers = np.right_shift(TABLE[indices & (len(TABLE) - 1)], np.minimum(indices >> INDEX_BITS, LAST_SHIFT))
    total = powers.sum(axis=-1, keepdims=True)
    return np.clip(rounded_division(powers << grid.fraction_bits, total), grid.low, grid.high)


def simulated_softmax(scores: Array, rule: Exponent, grid: Grid) -> Array:
    """The same values from real scores, float64."""
    differences = round_half_up(np.ldexp(scores.max(axis=-1, keepdims=True) - scores, rule.fraction_bits))
    indices = round_half_up(np.ldexp(np.minimum(differences, rule.largest) * rule.multiplier, -MULTIPLIER_BITS))
    whole = np.floor(indices / len(TABLE))
    entries = TABLE[(indices - len(TABLE) * whole).astype(np.int64)]
    powers = np.floor(np.ldexp(entries.astype(np.float64), -np.minimum(whole, LAST_SHIFT).astype(np.int64)))
    return grid.rounded(powers / powers.sum(axis=-1, keepdims=True))


def float_softmax(scores: Array, scale: float) -> Array:
    """Softmax over the last axis of scale * scores, float64."""
    powers = np.exp(scale * (scores - scores.max(axis=-1, keepdims=True)))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def error_bound(entries: int, grid: Grid) -> float:
    """Largest distance from the real softmax of a row of `entries`, where the grid clips nothing (ours).

    It adds up half a step of the output, half the relative error of an index that is off by 1/2 + 2^-5, the 13 bits of
    the multiplier, and 2^-15 per entry for what the shift cuts off.
    """
    index = log(2) * (0.5 + 2.0**-SCORE_BITS) / 2**INDEX_BITS
    return float(2.0 ** -(grid.fraction_bits + 1) + index / 2 + 2.0**-11 + (entries + 2) * 2.0**-ENTRY_BITS)
