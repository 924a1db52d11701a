"""Cubics and quartics from two squarings, one after the other. Pure numpy (derived).

Let z in [-1, 1] be the centred and scaled x, and p(z) = d4 z^4 + d3 z^3 + d2 z^2 + d1 z + d0. The first squaring makes
P = (z + t)^2 for one or two shifts t, the second one the squares W^2 of affine functions W of the Ps. p is a sum of
the W^2, the Ps, z and a constant. Three forms do this:

    completed    P = (z + a / 2)^2  and  p = d4 (P + b - a^2 / 4)^2 + g z + constant,
                 a = d3 / (2 d4),  b = (d2 / d4 - a^2) / 2,  g = d1 - 2 d4 a b
    difference   P = (z + 1)^2, Q = (z - 1)^2  and  p = k1 (P + b1)^2 - k2 (Q + b2)^2 + constant,
                 k1 = d3 / 8 + d4 / 2,  k2 = d3 / 8 - d4 / 2,  k1 b1 = s + e,  k2 b2 = s - e,
                 s = (d1 - d3) / 8,  e = (d2 - 6 d4) / 4
    product      P and Q as before, z^2 = (P + Q) / 2 - 1, z = (P - Q) / 4, and with v = d4 z^2 + d3 z + d2:
                 p = z^2 v + d1 z + d0,  z^2 v = ((r z^2 + v / r) / 2)^2 - ((r z^2 - v / r) / 2)^2,
                 r^2 = |d4| + |d3| + |d2|

The first two subtract large numbers where a leading coefficient is small beside the others. The product is well
conditioned for all coefficients, but its result reads the Ps too. So the other two are taken where they are about as
insensitive to errors as the product is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: A form may be so many times as sensitive to errors as the product. Factor 2 is one bit of precision; for larger ones
#: the planner was seen to need a larger ring.
SENSITIVITY_RATIO = 2.0

#: Where sensitivities are compared: z with weights of a normal distribution whose range is three standard deviations.
_POINTS = np.linspace(-1.0, 1.0, 65)
_WEIGHTS = np.exp(-4.5 * _POINTS**2) / np.exp(-4.5 * _POINTS**2).sum()


@dataclass(frozen=True)
class QuarticSquares:
    """One cubic or quartic per feature: p(z) = sum_i signs[i] W_i^2 + sum_j first[j] P_j + slope z + offset.

    P_j = (z + shifts[j])^2 and W_i = sum_j inner[i, j] P_j + constants[i]. shifts, first: (firsts, features). inner:
    (seconds, firsts, features). constants, signs: (seconds, features). slope, offset: (features,).
    """

    shifts: Array
    inner: Array
    constants: Array
    signs: Array
    first: Array
    slope: Array
    offset: Array

    def squares(self, z: Array) -> tuple[Array, Array]:
        """(P, W) at z (features, points): (firsts, features, points) and (seconds, features, points)."""
        ones = (z[None] + self.shifts[:, :, None]) ** 2
        return ones, np.einsum("ijf,jfp->ifp", self.inner, ones) + self.constants[:, :, None]

    def evaluate(self, z: Array) -> Array:
        """p at z (features, points)."""
        ones, values = self.squares(z)
        total = (self.signs[:, :, None] * values**2).sum(axis=0) + (self.first[:, :, None] * ones).sum(axis=0)
        return np.asarray(total + self.slope[:, None] * z + self.offset[:, None])

    def sensitivity(self) -> Array:
        """(features,): the root mean square error of p when every P and W is off by a unit of its largest value.

        Noise and rounding are errors of this kind: their size follows the largest value of a ciphertext. The mean is
        over a normal distribution of z.
        """
        ones, values = self.squares(np.broadcast_to(_POINTS, (len(self.slope), len(_POINTS))))
        by_value = 2 * self.signs[:, :, None] * values
        by_first = np.einsum("ijf,ifp->jfp", self.inner, by_value) + self.first[:, :, None]
        parts = [
            ((derivative**2 @ _WEIGHTS) * np.square(size.max(axis=-1))).sum(axis=0)
            for derivative, size in ((by_value, np.abs(values)), (by_first, ones))
        ]
        return np.sqrt(parts[0] + parts[1])


def quartic_squares(coefficients: Array) -> QuarticSquares:
    """The squares of p; coefficients in z (5, features) in ascending order, d4 = 0 for a cubic.

    Of the forms that are at most SENSITIVITY_RATIO times as sensitive as the product, the first is taken: the
    difference, whose result reads one layer of squares alone; then the completed one, which reads z as well. All
    features get the same form.
    """
    product = product_form(coefficients)
    allowed = SENSITIVITY_RATIO * product.sensitivity()
    for choice in (_difference, _completed):
        with np.errstate(all="ignore"):  # a form that does not exist is not a number, and compares as false
            form = choice(coefficients)
            if (form.sensitivity() <= allowed).all():
                return form
    return product


def _completed(d: Array) -> QuarticSquares:
    d0, d1, d2, d3, d4 = d
    some = np.abs(d[1:]).sum(axis=0) > 0  # a feature that is constant needs no square
    a = np.where(some, d3 / (2 * d4), 0.0)
    b = np.where(some, (d2 / d4 - a * a) / 2, 0.0)
    root = np.sqrt(np.abs(d4))
    return QuarticSquares(
        shifts=a[None] / 2,
        inner=root[None, None],
        constants=(root * (b - a * a / 4))[None],
        signs=np.sign(d4)[None],
        first=np.zeros_like(d4)[None],
        slope=d1 - 2 * d4 * a * b,
        offset=d0 - d4 * b * b,
    )


def _difference(d: Array) -> QuarticSquares:
    d0, d1, d2, d3, d4 = d
    half_sum, half_difference = (d1 - d3) / 8, (d2 - 6 * d4) / 4
    leading = np.stack([d3 / 8 + d4 / 2, d4 / 2 - d3 / 8])
    linear = np.stack([half_sum + half_difference, half_difference - half_sum])
    shift = np.where(linear == 0, 0.0, linear / leading)
    root = np.sqrt(np.abs(leading))
    nothing = np.zeros_like(leading)
    # at z = 0 both P are 1: the constant is what the squares leave of d0
    return QuarticSquares(
        shifts=np.stack([np.ones_like(d4), -np.ones_like(d4)]),
        inner=np.stack([np.stack([root[0], nothing[0]]), np.stack([nothing[1], root[1]])]),
        constants=root * shift,
        signs=np.sign(leading),
        first=nothing,
        slope=np.zeros_like(d4),
        offset=d0 - (leading * (1 + shift) ** 2).sum(axis=0),
    )


def product_form(d: Array) -> QuarticSquares:
    """The form that is well conditioned for all coefficients (5, features)."""
    d0, d1, d2, d3, d4 = d
    root = np.sqrt(np.abs(d[2:]).sum(axis=0))
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
    # z^2 and v = d4 z^2 + d3 z + d2, each as (factor of P, factor of Q, constant)
    square = np.stack([np.full_like(d4, 0.5), np.full_like(d4, 0.5), np.full_like(d4, -1.0)])
    other = np.stack([d4 / 2 + d3 / 4, d4 / 2 - d3 / 4, d2 - d4])
    plus, minus = (root * square + inverse * other) / 2, (root * square - inverse * other) / 2
    ones = np.ones_like(d4)
    return QuarticSquares(
        shifts=np.stack([ones, -ones]),
        inner=np.stack([plus[:2], minus[:2]]),
        constants=np.stack([plus[2], minus[2]]),
        signs=np.stack([ones, -ones]),
        first=np.stack([d1 / 4, -d1 / 4]),
        slope=np.zeros_like(d4),
        offset=d0,
    )
