"""Closed forms for Laplace-distributed weights: scale, fit and clipping. Pure.

The Laplace density is the paper's (OPQ, known through a third party's note); the formulas are derived and checked
numerically. |w| is exponentially distributed with mean b.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import lambertw

Array = NDArray[np.float64]


def laplace_scale(weights: Array) -> float:
    """Maximum-likelihood b = mean |w| of all weights before pruning."""
    return float(np.mean(np.abs(weights))) if weights.size else 0.0


def fit_quality(weights: Array) -> float:
    """Kolmogorov-Smirnov distance of |w| from Exp(b), in [0, 1]; small is a good fit."""
    magnitudes = np.sort(np.abs(weights).ravel())
    b = laplace_scale(magnitudes)
    if b == 0.0:
        return 1.0
    model = 1 - np.exp(-magnitudes / b)
    upper = np.arange(1, len(magnitudes) + 1) / len(magnitudes)
    return float(np.max(np.maximum(np.abs(model - upper), np.abs(model - upper + 1 / len(magnitudes)))))


def clip_ratio(bits: int, rate: float = 0.0) -> float:
    """u = W(3 * 4^B / (1 - p)): clip the survivors of a layer pruned at rate p at u b for the least error.

    W is Lambert's function. For p = 0 these are ACIQ's constants.
    """
    return float(np.real(lambertw(3 * 4.0**bits / (1 - rate))))
