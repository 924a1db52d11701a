"""Upper limits from few numbers: of the tail of a distribution, and of a mean. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]

#: The share of inputs that may exceed the bound.
EXCEEDING = 1e-4
#: The level of one-sided confidence limits.
CONFIDENCE = 0.95


def upper_tail(values: Array) -> float:
    return float(values.max())


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
