"""A figure with its uncertainty: a value between a low and a high. Pure.

Bands combine at their ends: the low of a sum is the sum of the lows. This is wider than adding independent errors in
quadrature. In return every law of numbers still holds: operations are monotone, and totals equal the sums of their
parts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Band:
    """low <= value <= high, all three in one unit."""

    value: float
    low: float
    high: float

    def __add__(self, other: Band) -> Band:
        return Band(self.value + other.value, self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float | Band) -> Band:
        """Scaled by a non-negative number or band."""
        other = factor if isinstance(factor, Band) else exactly(factor)
        return Band(self.value * other.value, self.low * other.low, self.high * other.high)

    def __truediv__(self, divisor: float | Band) -> Band:
        """Divided by a positive number or band: the low comes from the divisor's high."""
        other = divisor if isinstance(divisor, Band) else exactly(divisor)
        return Band(self.value / other.value, self.low / other.high, self.high / other.low)

    @property
    def complement(self) -> Band:
        """1 minus a share."""
        return Band(1 - self.value, 1 - self.high, 1 - self.low)


ZERO = Band(0.0, 0.0, 0.0)


def exactly(number: float) -> Band:
    """A band without width."""
    return Band(number, number, number)


def larger(first: Band, second: Band) -> Band:
    """The larger of two bands, end by end: the time of two things that overlap fully."""
    return Band(max(first.value, second.value), max(first.low, second.low), max(first.high, second.high))


def smaller(first: Band, second: Band) -> Band:
    """The smaller of two bands, end by end."""
    return Band(min(first.value, second.value), min(first.low, second.low), min(first.high, second.high))
