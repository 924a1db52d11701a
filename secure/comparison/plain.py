"""The rule that keep bits follow, on scores in clear: what encrypted bits are held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.comparison.grid import PairGrid


def plain_bits(
    scores: NDArray[np.float64], grid: PairGrid, least_gap: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which cells of scores (lines, columns) beat all neighbours, the earlier of equal cells first; and which are
    decided: no neighbour has another score so near that encryption need not tell them apart."""
    keep, decided = np.ones((2, *scores.shape), dtype=np.bool_)
    padded = np.pad(scores, grid.reach)
    for number, own in enumerate(grid.neighbours):
        dy, dx = divmod(number, grid.width)
        apart = scores - padded[dy : dy + grid.lines, dx : dx + grid.columns]
        keep &= ~(own & ((apart < 0) | ((apart == 0) & (number < grid.width**2 // 2))))
        decided &= ~(own & (apart != 0) & (np.abs(apart) < least_gap))
    return keep, decided
