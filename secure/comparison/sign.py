"""The sign of a number by a composite of minimax polynomials: what replaces a comparison under CKKS.

Each factor is fitted to the values that the factor before it may take. For |x| between `gap` and `most` the result is
within `deviation` of the sign, by a bound that is computed, not sampled; below the gap it is anything between -1 and 1
and a little more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from compress.checks import is_number
from compress.errors import CompileError, ConfigError, InputRangeError
from secure.comparison.minimax import OddPolynomial, certified_bounds, nearest_to_one

Array = NDArray[np.float64]
#: Degrees that the search tries: those that use all of a level.
DEGREES = (3, 7, 15)
#: Largest composite that the search tries.
MOST_FACTORS = 3


@dataclass(frozen=True)
class Sign:
    """factors, the first one first. gap, most: the least and the largest |x| that the deviation holds for.

    tolerance: how far the values between factors may be off, by noise, without leaving what the next factor was fitted
    to. deviation: the largest |result - sign(x)| without noise.
    """

    factors: tuple[OddPolynomial, ...]
    gap: float
    most: float
    tolerance: float
    deviation: float

    @property
    def levels(self) -> int:
        return sum(factor.levels for factor in self.factors)

    def __call__(self, x: Array) -> Array:
        """The composite at x. Raises: InputRangeError for |x| above `most`, where composites explode."""
        x = np.asarray(x, dtype=np.float64)
        if not (np.abs(x) <= self.most).all():
            place = int(np.argmax(np.where(np.isnan(x), inf, np.abs(x))))
            value = float(x.ravel()[place])
            raise InputRangeError(
                f"sign: value {value:g} at place {place} is outside [{-self.most:g}, {self.most:g}]; divide by a bound "
                "on the differences first",
                feature=place,
                value=value,
                low=-self.most,
                high=self.most,
            )
        for factor in self.factors:
            x = factor(x)
        return x


def composite_sign(gap: float, degrees: Sequence[int], *, most: float = 1.05, tolerance: float = 1e-4) -> Sign:
    """A sign with one factor per degree, each the best for what it receives.

    Raises: ConfigError for a gap that is not between 0 and `most`; CompileError.
    """
    if not (is_number(gap) and is_number(most) and 0 < gap < most):
        raise ConfigError("gap", gap, f"a number above 0 and below most, {most}")
    if not (is_number(tolerance) and tolerance >= 0):
        raise ConfigError("tolerance", tolerance, "a number of at least 0")
    if not degrees:
        raise ConfigError("degrees", degrees, "at least one odd degree")
    low, high, factors = float(gap), float(most), []
    for degree in degrees:
        factor = nearest_to_one(low, high, degree)
        least, greatest = certified_bounds(factor, low, high)
        factors.append(factor)
        # also inputs below the gap must stay inside the next factor's interval
        greatest = max(greatest, *map(abs, certified_bounds(factor, -low, low)))
        if least - tolerance <= 0:
            raise ConfigError("degrees", tuple(degrees), f"larger ones: degree {degree} does not tell {low:g} from 0")
        low, high = least - tolerance, greatest + tolerance
    deviation = max(1 - (low + tolerance), (high - tolerance) - 1)
    return Sign(tuple(factors), float(gap), float(most), float(tolerance), deviation)


def cheapest_sign(gap: float, deviation: float, *, most: float = 1.05, tolerance: float = 1e-4) -> Sign:
    """The sign of the fewest levels, and of these of the least degrees, that keeps to a deviation.

    Raises: ConfigError where no composite of MOST_FACTORS factors does.
    """
    for degrees in sorted(_all_degrees(), key=lambda one: (sum(d.bit_length() for d in one), sum(one))):
        try:
            found = composite_sign(gap, degrees, most=most, tolerance=tolerance)
        except CompileError:  # too steep for this degree
            continue
        except ConfigError:
            if not 0 < gap < most:
                raise
            continue
        if found.deviation <= deviation:
            return found
    raise ConfigError("gap", gap, f"a larger one: no composite of {MOST_FACTORS} factors keeps to {deviation:g}")


def _all_degrees() -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    longest: list[tuple[int, ...]] = [()]
    for _ in range(MOST_FACTORS):
        longest = [(*one, degree) for one in longest for degree in DEGREES]
        found += longest
    return found[1:]
