"""Quadratics with their square completed, the form in which CKKS evaluates them. Pure numpy.

Completing the square of a nearly straight line makes the line a difference of two large numbers: with z in [-1, 1],
d2 z^2 + d1 z = d2 (z + d1 / (2 d2))^2 - d1^2 / (4 d2), and the square grows without bound as d2 falls. Rounding and
encryption noise grow with it. So a square is completed only where it is well conditioned on the interval of x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.coefficients import substitute

Array = NDArray[np.float64]

#: The largest condition number of a completed square: 6 bits of precision are lost at most.
LARGEST_CONDITION = 64.0

#: A square that is smaller than this times the line, everywhere on the interval, is left out. It is one unit in the
#: last of 40 bits, and far below the noise of encryption.
NEGLIGIBLE = 2.0**-40


@dataclass(frozen=True)
class CompletedSquare:
    """c2 x^2 + c1 x + c0 = scale (x + centre)^2 + offset + slope x, one quadratic per feature.

    A completed square has slope 0. A straight line has scale and centre 0.
    """

    scale: Array
    centre: Array
    offset: Array
    slope: Array


def complete_square(coefficients: Array) -> CompletedSquare:
    """The completed squares of quadratics with coefficients (3, features), in ascending order.

    scale = c2, centre = c1 / (2 c2), offset = c0 - c1^2 / (4 c2). A feature with c2 = 0 is the straight line c1 x + c0.
    """
    c0, c1, c2 = np.asarray(coefficients, dtype=np.float64)
    curved = c2 != 0.0
    centre = np.where(curved, c1 / np.where(curved, 2 * c2, 1.0), 0.0)
    return CompletedSquare(
        scale=c2,
        centre=centre,
        offset=np.where(curved, c0 - c1 * centre / 2, c0),
        slope=np.where(curved, 0.0, c1),
    )


def conditioned_square(coefficients: Array, low: float, high: float) -> CompletedSquare:
    """The quadratics in the form that is well conditioned for x in [low, high]; coefficients as in `complete_square`.

    The condition number is the largest value of the square over |d1| + |d2|, where d2 z^2 + d1 z + d0 is the quadratic
    in z = (x - middle) / half width (derived). Where it exceeds LARGEST_CONDITION, the square is d2 z^2 and the line
    stays a slope. Where d2 is NEGLIGIBLE beside d1, only the line is left.
    """
    middle, half = interval(low, high)
    c0, c1, c2 = np.asarray(coefficients, dtype=np.float64)
    _, d1, d2 = np.abs(substitute(np.asarray(coefficients, dtype=np.float64), -middle / half, 1.0 / half))
    curved = d2 > NEGLIGIBLE * d1
    with np.errstate(all="ignore"):  # what overflows is not completed
        whole = complete_square(coefficients)
        condition = np.where(curved, d2 * (1.0 + d1 / (2.0 * d2)) ** 2 / (d1 + d2), np.inf)
    completed = condition <= LARGEST_CONDITION
    return CompletedSquare(
        scale=np.where(curved, c2, 0.0),
        centre=np.where(completed, whole.centre, np.where(curved, -middle, 0.0)),
        offset=np.where(completed, whole.offset, c0 - c2 * middle**2),
        slope=np.where(completed, 0.0, c1 + 2 * c2 * middle),
    )


def interval(low: float, high: float) -> tuple[float, float]:
    """Middle and half width of [low, high]; an empty interval counts as one around its point."""
    middle, half = (low + high) / 2, (high - low) / 2
    return middle, half if half > 0 else max(1.0, abs(middle))
