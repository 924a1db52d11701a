"""Polynomials in place of element-wise functions: weighted least squares and substitution. Pure numpy.

Coefficients are in ascending order, shape (degree + 1,) or (degree + 1, channels).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.errors import ConfigError

Array = NDArray[np.float64]

#: Degrees that conversion offers, in ascending order: 2 is one squaring per layer, 3 and 4 are two.
DEGREES = (2, 3, 4)

#: Smallest leading coefficient relative to the others, over the unit range (see `guard_leading`).
LEAST_CURVATURE = 0.02


def fit_polynomial(x: Array, y: Array, degree: int, weights: Array | None = None) -> Array:
    """Weighted least-squares coefficients (degree + 1,) of y ~ p(x); x, y, weights are (samples,).

    The caller scales x to about [-1, 1] (`substitute` undoes it), because powers of a wide range are ill-conditioned.

    Raises: ConfigError for a degree that is not offered or fewer distinct samples than coefficients.
    """
    if degree not in DEGREES:
        raise ConfigError("degree", degree, f"one of {', '.join(map(str, DEGREES))}")
    distinct = len(np.unique(x))
    if distinct <= degree:
        raise ConfigError("samples", distinct, f"at least {degree + 1} distinct values for degree {degree}")
    root = np.ones_like(x) if weights is None else np.sqrt(weights)
    powers = np.vander(x, degree + 1, increasing=True)
    solution, *_ = np.linalg.lstsq(powers * root[:, None], y * root, rcond=None)
    return np.asarray(solution, dtype=np.float64)


def guard_leading(coefficients: Array, least: float = LEAST_CURVATURE) -> Array:
    """The coefficients with a leading one of at least `least` times the largest other non-constant one; signs are kept.

    Completing the square of a quadratic divides by the leading coefficient. Near zero that turns a nearly straight line
    into the difference of two huge numbers, which drowns in CKKS noise. Meant for coefficients over the unit range.
    Cubics and quartics have a form for every leading coefficient and need no guard.
    """
    guarded = np.array(coefficients, dtype=np.float64)
    floor = least * np.abs(guarded[1:-1]).max(axis=0)
    sign = np.where(guarded[-1] < 0.0, -1.0, 1.0)
    guarded[-1] = np.where(np.abs(guarded[-1]) < floor, sign * floor, guarded[-1])
    return guarded
