"""Closed forms for Laplace-distributed weights: pruning error, quantization error, clipping. Pure.

Marks as in the project's notes on OPQ: the Laplace density and the Lagrangian allocation are the paper's (known through
a third party's note); every formula here is derived and checked numerically. |w| ~ Exp(mean b); tau is a pruning
threshold.
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


def pruning_threshold(rate: float, b: float) -> float:
    """tau = -b ln(1 - p): the threshold below which a share `rate` of the weights lies."""
    return float(-b * np.log1p(-rate))


def pruning_error(threshold: float, b: float) -> float:
    """E[w^2; |w| <= tau] = 2 b^2 - exp(-tau/b) (tau^2 + 2 b tau + 2 b^2), per weight of the layer."""
    return float(2 * b**2 - np.exp(-threshold / b) * (threshold**2 + 2 * b * threshold + 2 * b**2))


def clip_ratio(bits: int, rate: float = 0.0) -> float:
    """u = alpha*/b = W(3 * 4^B / (1 - p)): where to clip the survivors of a layer pruned at `rate` (p = 0: ACIQ's
    constants)."""
    return float(np.real(lambertw(3 * 4.0**bits / (1 - rate))))


def clipped_error(bits: int, b: float, rate: float = 0.0) -> float:
    """D(B, p) = b^2 u (u + 2) / (3 * 4^B), the error of one survivor clipped at u b."""
    u = clip_ratio(bits, rate)
    return b**2 * u * (u + 2) / (3 * 4.0**bits)


def uniform_error(step: float, b: float) -> float:
    """D = 2 b^2 - b step / sinh(step / 2b): exact error of an unbounded mid-tread quantizer on Laplace(b)."""
    return float(2 * b**2 - b * step / np.sinh(step / (2 * b)))


def survivor_error(step: float, b: float) -> float:
    """D_s = 2 b^2 + step^2/4 - b step coth(step / 2b): the same for survivors, with tau on a cell edge."""
    return float(2 * b**2 + step**2 / 4 - b * step / np.tanh(step / (2 * b)))


def survivor_code_entropy_bits(step: float, b: float) -> float:
    """1 + H2(r) / (1 - r) bits with r = exp(-step/b): a sign and a geometric magnitude."""
    r = np.exp(-step / b)
    binary_entropy = -r * np.log2(r) - (1 - r) * np.log2(1 - r)
    return float(1 + binary_entropy / (1 - r))
