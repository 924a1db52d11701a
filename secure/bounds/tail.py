"""Upper limits from few numbers: of the tail of a distribution, and of a mean. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]

#: The share of inputs that may exceed the bound.
EXCEEDING = 1e-4
#: The level of one-sided confidence limits of means.
CONFIDENCE = 0.95
#: The share that a bound from drawn inputs is made for: half of it, since the distribution that they are drawn from is
#: fitted to data. A margin for light tails, where a small factor halves the share many times. How many of the largest
#: values the bound is read from.
DRAWN_EXCEEDING, DRAWN_MARGIN, DRAWN_TAIL = EXCEEDING / 2, 1.2, 16
#: The share of the values that count as the tail, and their least number.
TAIL_SHARE, LEAST_TAIL = 0.1, 10
#: The exponent that tails of errors usually have (measured on networks of one to four activations), and how many values
#: of the tail it counts for. It keeps a bound from few values near what is usual.
USUAL_EXPONENT, USUAL_VALUES = 0.12, 20
#: How many standard errors are added to the estimated exponent of the tail.
TAIL_STANDARD_ERRORS = 1.0
#: The margin of a bound from fewer values than a tail can be estimated from.
LONE_MARGIN = 4.0


def upper_tail(values: Array) -> float:
    """What at most a share of EXCEEDING of the distribution is expected to exceed that positive values are drawn from.

    The k largest of n values estimate the exponent a of a tail P(x) ~ x^(-1 / a): a is the mean of log(x_i / x_k+1)
    (Hill 1975), with the standard error a / sqrt(k). Here the usual exponent counts like USUAL_VALUES more values, and
    TAIL_STANDARD_ERRORS are added. Beyond x_k+1, with the share k / n, the share p is exceeded at x_k+1 (k / (n p))^a
    (Weissman 1978). Lighter tails are overestimated. The bound is never below the largest value.
    """
    largest, found = float(values.max()), fitted_tail(values)
    return LONE_MARGIN * largest if found is None else max(largest, float(found.value(EXCEEDING)))


@dataclass(frozen=True)
class Tail:
    """The fitted tail of a distribution: a share `share` of it exceeds `start`, and beyond P(x) ~ x^(-1 / exponent)."""

    start: float
    share: float
    exponent: float

    def value(self, exceeding: Array | float) -> Any:
        """What such shares of the distribution exceed."""
        return self.start * (self.share / exceeding) ** self.exponent


def fitted_tail(values: Array) -> Tail | None:
    """The tail of the distribution of positive values, as `upper_tail` says; None for too few values.

    Where less than the share of the tail is above zero, it starts and stays at zero.
    """
    ordered = np.sort(values)[::-1]
    count = min(max(LEAST_TAIL, int(TAIL_SHARE * len(ordered))), len(ordered) - 1)
    if count < 2:
        return None
    start, weight = float(ordered[count]), count + USUAL_VALUES
    if start <= 0:
        return Tail(0.0, count / len(ordered), 0.0)
    exponent = (float(np.sum(np.log(ordered[:count] / start))) + USUAL_VALUES * USUAL_EXPONENT) / weight
    return Tail(start, count / len(ordered), exponent * (1 + TAIL_STANDARD_ERRORS / float(np.sqrt(weight))))


def drawn_tail(largest: Array, drawn: int) -> float:
    """What a share of DRAWN_EXCEEDING of many drawn values exceeds, times DRAWN_MARGIN. largest: of `drawn` values."""
    return mixed_tail(largest, np.full(len(largest), 1 / drawn), drawn)


def mixed_tail(values: Array, shares: Array, drawn: int) -> float:
    """What a share of DRAWN_EXCEEDING of a distribution exceeds, times DRAWN_MARGIN.

    values, shares: those of the distribution that matter, and the share that each stands for. The largest, a share of
    DRAWN_TAIL in `drawn`, give a line in a plot of the logarithms of values and of shares (`upper_tail`). The line is
    read where values lie, or close by.
    """
    order = np.argsort(values)[::-1]
    ordered, above = values[order], np.cumsum(shares[order])
    count = min(max(1, int(np.searchsorted(above, (DRAWN_TAIL + 0.5) / drawn))), len(ordered) - 1)
    start = float(ordered[count])
    if start <= 0:
        return float(ordered[0])
    exponent = float(np.average(np.log(ordered[:count] / start), weights=shares[order][:count]))
    return DRAWN_MARGIN * float(start * (above[count - 1] / DRAWN_EXCEEDING) ** exponent)


def upper_mean(values: Array) -> float:
    """The upper confidence limit, at CONFIDENCE, of the mean of a distribution on [0, 1] that the values are drawn
    from.

    For values in [0, 1] with the mean m, P(mean of n values <= x) <= exp(-n KL(x, m)), KL(x, m) = x log(x / m) +
    (1 - x) log((1 - x) / (1 - m)) for x < m (Hoeffding 1963, theorem 1). The limit is the m at which this is 1 -
    CONFIDENCE. Where all values are 0 it is 1 - (1 - CONFIDENCE)^(1 / n), about 3 / n, as for counts (Clopper and
    Pearson 1934).
    """
    mean, needed = float(np.mean(values)), -np.log(1 - CONFIDENCE) / len(values)

    def divergence(limit: float) -> float:
        low = 0.0 if mean == 0 else mean * np.log(mean / limit)
        return float(low + (1 - mean) * np.log((1 - mean) / (1 - limit)) - needed)

    if mean >= 1:
        return 1.0
    nearly = 1 - 1e-15
    return nearly if divergence(nearly) < 0 else float(brentq(divergence, max(mean, 1e-300), nearly))
