"""The bound of errors that are drawn anew in every block, over inputs that differ in how far errors reach. Pure.

A row has a systematic error s and random ones of standard deviation sigma. With m outputs, an error is above B with a
probability of at most 2 m Q((B - s) / sigma), Q being the tail of the normal distribution. The share of inputs above B
is the mean of that over inputs (derived). Most rows count as they are. What exceeds the easier nine tenths of them is
extrapolated: s + BOUND_SIGMAS sigma of inputs has the tail that is fitted to the rows (`secure.bounds.tail`), and
systematic errors have the share of it that they have in the hardest tenth.

Taking BOUND_SIGMAS standard deviations for the hardest input of 10,000 instead would multiply two small probabilities,
and give up to twice as much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from secure.bounds.tail import EXCEEDING, fitted_tail
from secure.noise import BOUND_SIGMAS

Array = NDArray[np.float64]

#: The share of inputs that the bound is made for, in relation to the promised one. The tail is fitted to rows, and
#: 10,000 inputs should stay below the bound.
MADE_FOR = 0.1
#: The fewest rows whose tail tells enough. Fewer get BOUND_SIGMAS for the hardest of all inputs.
FEWEST_ROWS = 100
#: Shares of inputs at which the fitted tail is read, from all of it down to a millionth.
TAIL_STEPS, SMALLEST_SHARE = 256, 1e-6
#: Halvings of the range in which the bound lies.
HALVINGS = 40


def mixed_bound(systematic: Array, sigmas: Array, outputs: int) -> float:
    """What at most MADE_FOR * EXCEEDING of all inputs exceed.

    systematic, sigmas: the largest systematic error of every row, and its largest standard deviation, (rows,).
    """
    hardness = systematic + BOUND_SIGMAS * sigmas
    tail, count = fitted_tail(hardness), len(hardness)
    wrong, spread, shares = systematic, sigmas, np.full(count, 1 / count)
    if tail is not None and tail.start > 0:
        order = np.argsort(hardness)
        body, hardest = np.split(order, [count - round(tail.share * count)])
        edges = tail.share * np.append(np.geomspace(1, SMALLEST_SHARE, TAIL_STEPS), 0.0)
        beyond = tail.value(np.maximum(edges[1:], edges[-2]))  # the hardest input of each step; of the last the easiest
        fixed = float(np.mean(systematic[hardest] / hardness[hardest]))
        wrong = np.append(systematic[body], fixed * beyond)
        spread = np.append(sigmas[body], (1 - fixed) * beyond / BOUND_SIGMAS)
        shares = np.append(shares[body], -np.diff(edges))

    def exceeding(bound: float) -> float:
        above = 2 * outputs * ndtr((wrong - bound) / np.maximum(spread, 1e-300))
        return float(shares @ np.minimum(np.where(wrong > bound, 1.0, above), 1.0))

    low, high = 0.0, 2 * float((wrong + BOUND_SIGMAS * spread).max())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if exceeding(middle) > MADE_FOR * EXCEEDING else (low, middle)
    return high
