"""Quadratics with their square completed, the form in which CKKS evaluates them. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CompletedSquare:
    """c2 x^2 + c1 x + c0 = scale (x + centre)^2 + offset + slope x, one quadratic per feature.

    A feature with a square has slope 0. A straight line has scale and centre 0.
    """

    scale: Array
    centre: Array
    offset: Array
    slope: Array


def complete_square(coefficients: Array, negligible: float = 0.0) -> CompletedSquare:
    """The completed squares of quadratics with coefficients (3, features), in ascending order.

    scale = c2, centre = c1 / (2 c2), offset = c0 - c1^2 / (4 c2). A feature with |c2| <= negligible * |c1| becomes
    the straight line c1 x + c0: its centre would be so far away that the square and the offset would nearly cancel
    each other.
    """
    c0, c1, c2 = np.asarray(coefficients, dtype=np.float64)
    curved = np.abs(c2) > negligible * np.abs(c1)
    centre = np.where(curved, c1 / np.where(curved, 2 * c2, 1.0), 0.0)
    return CompletedSquare(
        scale=np.where(curved, c2, 0.0),
        centre=centre,
        offset=np.where(curved, c0 - c1 * centre / 2, c0),
        slope=np.where(curved, 0.0, c1),
    )
