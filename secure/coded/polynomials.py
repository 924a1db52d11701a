"""A polynomial of degree 4 at most as quadratics and products of values. Pure.

A quartic is a quadratic of a quadratic and something linear (completed square, derived):

    d4 x^4 + d3 x^3 + d2 x^2 + d1 x + d0 = d4 u^2 + slope x + offset,    u = x^2 + a x + b,
    a = d3 / (2 d4),  b = (d2 / d4 - a^2) / 2,  slope = d1 - 2 d4 a b,  offset = d0 - d4 b^2

All other polynomials above degree 2 are x^2 (d4 x^2 + d3 x + d2) + d1 x + d0. Integers are exact, so differences of
large numbers lose nothing, and the forms are chosen by their bits alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.coded.forms import Form, ProductForm, QuadraticForm, SumForm

Array = NDArray[np.float64]

#: How much larger the completed square's terms may be than the quartic's own. Beyond, float64 in the clear run loses
#: digits.
MOST_CANCELLED = 1e4


def polynomial_forms(layer: str, source: int, first: int, coefficients: Array) -> list[Form]:
    """The forms of a polynomial with coefficients (degree + 1, features) in ascending order.

    first: the number of the first form's value. The last form is the result.
    """
    size = coefficients.shape[1]
    d = np.zeros((5, size))
    d[: len(coefficients)] = coefficients
    nothing, ones = np.zeros(size), np.ones(size)
    if not d[3:].any():
        return [QuadraticForm(layer=layer, sources=(source,), square=d[2], linear=d[1], constant=d[0])]
    if completes(d):
        a = d[3] / (2 * d[4])
        b = (d[2] / d[4] - a * a) / 2
        inner = QuadraticForm(layer=layer, sources=(source,), square=ones, linear=a, constant=b)
        outer = QuadraticForm(layer=layer, sources=(first,), square=d[4], linear=nothing, constant=d[0] - d[4] * b * b)
        slope = d[1] - 2 * d[4] * a * b
        if not slope.any():
            return [inner, outer]
        total = SumForm(layer=layer, sources=(first + 1, source), weights=np.stack([ones, slope]), constant=nothing)
        return [inner, outer, total]
    square = QuadraticForm(layer=layer, sources=(source,), square=ones, linear=nothing, constant=nothing)
    other = QuadraticForm(layer=layer, sources=(source,), square=d[4], linear=d[3], constant=d[2])
    product = ProductForm(layer=layer, sources=(first, first + 1), size=size)
    total = SumForm(layer=layer, sources=(first + 2, source), weights=np.stack([ones, d[1]]), constant=d[0])
    return [square, other, product, total]


def completes(d: Array) -> bool:
    """Whether all quartics (5, features) have a completed square whose terms are not far larger than their own."""
    with np.errstate(all="ignore"):
        a = d[3] / (2 * d[4])
        b = (d[2] / d[4] - a * a) / 2
        terms = np.abs(d[4]) * np.stack([b * b, np.abs(a * b), a * a])
    largest = np.abs(d).max(axis=0)
    return bool((np.isfinite(terms) & (terms <= MOST_CANCELLED * largest)).all())
