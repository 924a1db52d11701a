"""How the bound of an answer grows with the answer. Pure.

Errors of a polynomial network grow as its values do: an error at any place is multiplied by a derivative, and where
values are many times larger than usual, so are derivatives. Over inputs with heavy tails both vary by orders of
magnitude, behind four squares by the 16th power of the input. Their ratio varies little. So a bound is stated for
answers up to a size, and for larger ones in proportion:

    bound of an answer = bound of the bundle * max(1, size of the answer / size up to which it holds)

The size of an answer is its largest absolute output. The bundle's bound then tells what errors usual answers have; one
number for all inputs would have to be that of the largest answer in 10,000, which few rows do not show.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Bounds grow beyond the largest answer that the rows give, but at most so many times this quantile of the answers'
#: sizes. Sizes of shallow networks end below that.
QUANTILE, MOST_TIMES = 0.99, 4.0


def grows_beyond(sizes: Array) -> float:
    """The size of an answer up to which one bound serves. sizes: of the answers to rows of data, (rows,)."""
    return max(min(float(sizes.max()), MOST_TIMES * float(np.quantile(sizes, QUANTILE))), 1e-300)


def growth(sizes: Array, beyond: float) -> Array:
    """How many times larger than the bundle's bound that of every answer is, (rows,). sizes: of the answers."""
    return np.maximum(sizes / beyond, 1.0)
