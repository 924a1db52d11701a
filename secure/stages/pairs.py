"""What a stage makes of its value: the square of every feature, the product of its two halves, or the value itself.

Pure.

The value of a paired stage is (left, right), one half after the other. Then (derived)

    y = z^2          gives  d_z = 2 z d_y
    y = left right          d_left = right d_y,  d_right = left d_y
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Making(StrEnum):
    """What becomes of a stage's value."""

    SQUARE = "square"
    PRODUCT = "product"  # of its two halves
    KEPT = "kept"  # the value itself, which several later stages read

    @property
    def power(self) -> int:
        """The power of the value, and so of its scale, that the result is."""
        return 1 if self is Making.KEPT else 2


def activated(value: Array, making: Making, axis: int = 0) -> Array:
    """The squares, the products of the two halves along an axis, which then has half the length, or the value."""
    if making is Making.KEPT:
        return value
    if making is Making.SQUARE:
        return value**2
    left, right = np.split(value, 2, axis)
    return np.asarray(left * right)


def pulled(value: Array, by_atom: Array, making: Making, axis: int = 0) -> Array:
    """The derivatives of a quantity by the value, from those by what `activated` makes of it.

    value: broadcasts against the result. axis: that of the halves, in both arrays; counted from the end where the
    arrays differ in their number of axes.
    """
    if making is Making.KEPT:
        return by_atom
    if making is Making.SQUARE:
        return 2 * value * by_atom
    left, right = np.split(value, 2, axis)
    return np.concatenate([right * by_atom, left * by_atom], axis)
