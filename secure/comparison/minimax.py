"""The odd polynomial nearest to 1 on an interval of positive numbers: by symmetry, the best odd approximation of sign.

Source: Remez's exchange for odd powers; composites of such polynomials are the construction of Lee, Lee, No and Kim,
"Minimax approximation of sign function by composite polynomial" (TDSC, eprint 2020/834). Coefficients belong to odd
Chebyshev polynomials of x / bound: in powers of x they would be ten thousand times larger, and so would the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from compress.checks import is_number, is_whole
from compress.errors import CompileError, ConfigError

Array = NDArray[np.float64]
#: Points of the grid that certifies a bound.
GRID_POINTS = 2**16
#: Points on which extremes are looked for, exchanges, and how equal the extremes have to be in the end.
POINTS, MOST_EXCHANGES, EQUAL_WITHIN = 4096, 100, 1e-7
LARGEST_DEGREE = 63
#: Distances from 1 that are rounding alone.
ROUNDING = 1e-12


@dataclass(frozen=True)
class OddPolynomial:
    """sum over k of coefficients[k] T_(2k+1)(x / bound), for |x| <= bound."""

    coefficients: tuple[float, ...]
    bound: float

    @property
    def degree(self) -> int:
        return 2 * len(self.coefficients) - 1

    @property
    def levels(self) -> int:
        """Levels of a product tree that takes the coefficients on its way: ceil(log2(degree + 1))."""
        return self.degree.bit_length()

    def __call__(self, x: Array) -> Array:
        return np.asarray(chebyshev.chebval(np.asarray(x, dtype=np.float64) / self.bound, self.series))

    @property
    def series(self) -> Array:
        """Coefficients of T_0, T_1, T_2 and so on."""
        filled = np.zeros(2 * len(self.coefficients))
        filled[1::2] = self.coefficients
        return filled


@lru_cache(maxsize=256)
def certified_bounds(polynomial: OddPolynomial, low: float, high: float) -> tuple[float, float]:
    """A least and a greatest value on [low, high], which lies in [-bound, bound], that no value goes beyond.

    Between two points of a fine grid a function is nearer to the straight line through them than step^2 / 8 times
    its largest second derivative, and by Markov |T_k''| <= k^2 (k^2 - 1) / 3. Rounding of float64 adds less than
    1e-12.
    """
    points = np.linspace(low, high, GRID_POINTS)
    degrees = np.arange(len(polynomial.series))
    curvature = float(np.abs(polynomial.series) @ (degrees**2 * (degrees**2 - 1.0) / 3))
    slack = curvature * ((points[1] - points[0]) / polynomial.bound) ** 2 / 8 + 1e-12
    values = polynomial(points)
    return float(values.min()) - slack, float(values.max()) + slack


@lru_cache(maxsize=256)
def nearest_to_one(low: float, high: float, degree: int) -> OddPolynomial:
    """The odd polynomial of this degree whose largest distance from 1 on [low, high] is least; its bound is `high`.

    Raises: ConfigError; CompileError where the exchange does not settle.
    """
    if not (is_number(low) and is_number(high) and 0 < low < high):
        raise ConfigError("interval", (low, high), "two numbers, 0 < low < high")
    if not (is_whole(degree) and degree % 2 and 1 <= degree <= LARGEST_DEGREE):
        raise ConfigError("degree", degree, f"an odd number from 1 to {LARGEST_DEGREE}")
    terms = (degree + 1) // 2
    count = terms + 1
    # nodes that lie more closely at both ends, and geometrically where the interval spans several octaves
    spread = 0.5 - 0.5 * np.cos(np.pi * np.arange(count) / (count - 1))
    nodes = low * (high / low) ** spread
    dense = low * (high / low) ** (0.5 - 0.5 * np.cos(np.pi * np.linspace(0, 1, POINTS)))
    signs = (-1.0) ** np.arange(count)
    for _ in range(MOST_EXCHANGES):
        basis = chebyshev.chebvander(nodes / high, degree)[:, 1::2]
        solved = np.linalg.solve(np.column_stack([basis, signs]), np.ones(count))
        found = OddPolynomial(tuple(solved[:-1].tolist()), float(high))
        errors = found(dense) - 1
        if np.abs(errors).max() <= ROUNDING:
            return found
        peaks = _alternating(dense, errors, count)
        if peaks is None:
            break
        nodes = peaks
        sizes = np.abs(found(nodes) - 1)
        if sizes.max() - sizes.min() <= EQUAL_WITHIN * sizes.max() + 1e-13:
            return found
    raise CompileError(None, f"no minimax polynomial of degree {degree} on [{low:g}, {high:g}]: the exchange fails")


def _alternating(points: Array, errors: Array, count: int) -> Array | None:
    """Places of `count` extremes of alternating sign, the largest such run; None where there are fewer."""
    turns = np.flatnonzero(np.diff(np.sign(errors)) != 0) + 1
    parts = np.split(np.arange(len(points)), turns)
    peaks = [int(part[np.abs(errors[part]).argmax()]) for part in parts if len(part)]
    while len(peaks) > count:
        peaks = peaks[1:] if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else peaks[:-1]
    return np.array([_vertex(points, errors, peak) for peak in peaks]) if len(peaks) == count else None


def _vertex(points: Array, errors: Array, peak: int) -> float:
    """Where the parabola through a peak and its neighbours has its vertex; a peak at an end stays."""
    if peak in (0, len(points) - 1):
        return float(points[peak])
    x, y = points[peak - 1 : peak + 2], errors[peak - 1 : peak + 2]
    square, line, _ = np.polyfit(x - x[1], y, 2)
    if square == 0:
        return float(x[1])
    return float(x[1] + np.clip(-line / (2 * square), x[0] - x[1], x[2] - x[1]))
