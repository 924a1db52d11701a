"""Arithmetic on the coefficients of polynomials. Pure numpy.

Coefficients are in ascending order, shape (degree + 1,) or (degree + 1, channels). Channels broadcast.
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Polynomials up to this degree have an encrypted form of their own: two squarings, one after the other.
LARGEST_DEGREE = 4


def substitute(coefficients: Array, centre: float | Array, width: float | Array) -> Array:
    """Coefficients in x of p((x - centre) / width); binomial expansion. centre, width: numbers, or (channels,) each."""
    degree = coefficients.shape[0] - 1
    shape = np.broadcast_shapes(coefficients.shape[1:], np.shape(centre), np.shape(width))
    result = np.zeros((degree + 1, *shape))
    for power in range(degree + 1):
        for k in range(power + 1):
            result[k] += coefficients[power] * comb(power, k) * (-centre) ** (power - k) / width**power
    return result


def added(left: Array, right: Array) -> Array:
    """The sum of two polynomials, (degree + 1, channels) each."""
    rows = max(len(left), len(right))
    return _rows(left, rows) + _rows(right, rows)


def multiplied(left: Array, right: Array) -> Array:
    """The product of two polynomials, (degree + 1, channels) each."""
    shape = np.broadcast_shapes(left.shape[1:], right.shape[1:])
    result = np.zeros((len(left) + len(right) - 1, *shape))
    for power, row in enumerate(left):
        result[power : power + len(right)] += row * right
    return result


def composed(outer: Array, inner: Array) -> Array:
    """outer(inner(x)), by Horner's rule; (degree + 1, channels) each."""
    result = np.broadcast_to(outer[-1:], (1, *np.broadcast_shapes(outer.shape[1:], inner.shape[1:])))
    for row in outer[-2::-1]:
        result = added(multiplied(result, inner), row[None])
    return np.array(result)


def _rows(coefficients: Array, rows: int) -> Array:
    """The same polynomial with zeros for the powers that it lacks."""
    return np.concatenate([coefficients, np.zeros((rows - len(coefficients), *coefficients.shape[1:]))])
