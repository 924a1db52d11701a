"""How much noise hides the encryption's noise in answers that are shown, and what that protects. Pure.

An answer of d outputs carries an error e that depends on the secret key, with |e| <= B at every output (the predicted
error). It is shown with Gaussian noise of standard deviation rho added to every output. Compare that with a world in
which e is not there: an observer who knows the input can make that answer alone, so it gives nothing away. Over q
answers, chosen one after the other, the two worlds have a Renyi divergence of order a of at most a q d B^2 / (2 rho^2)
(Gaussian mechanism with adaptive composition: Mironov, "Renyi differential privacy", arXiv 1702.07476). From it follow
two statements (derived):

Finding the secret key. If that succeeds with probability 2^-s in the other world, then with at most
(2^-s exp(D_a))^((a - 1) / a) in ours (Bai, Langlois, Lepoint, Stehle and Steinfeld, "Improved security proofs in
lattice-based cryptography: using the Renyi divergence rather than the statistical distance", eprint 2015/483). The best
order leaves (sqrt(s) - sqrt(k))^2 bits, k = q d B^2 log2(e) / (2 rho^2).

Telling the worlds apart, by any test. The statistical distance is at most sqrt(q d) B / (2 rho), by Pinsker's
inequality from the divergence of order 1.

Noise in float64 would not have these divergences: its tails end, and not every sum can come out. So the noise is a
discrete Gaussian on multiples of a unit u <= 2^-20 B, whose divergence under a shift of whole units is at most the
Gaussian's (Canonne, Kamath and Steinke, arXiv 2004.00010). Rounding an answer to units adds at most one unit to B, for
which `release` adds that share to rho. Rounding after the noise changes no divergence for the worse.

Both statements are about a server that runs its plan. One that sends other ciphertexts in place of a reply chooses the
error itself, far beyond B, and may read the key in what is shown of it.

That answers without noise give the key away is due to Li and Micciancio (eprint 2020/1533, Eurocrypt 2021); that noise
in proportion to the error and to sqrt(q) is the remedy, and that less is not enough for full indistinguishability, to
Li, Micciancio, Schultz and Sorrell (eprint 2022/816, Crypto 2022).

A class alone is log2(d) bits. Whoever sees q of them could as well have guessed them, so they raise the probability of
finding the key by a factor of at most d^q.
"""

from __future__ import annotations

from math import e, log2, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from secure.params import SECURITY_BITS

#: Nodes of the quadrature over the noise of the largest output.
NODES = 96


def noise_ratio(outputs: int, answers: int, *, lost_bits: float, distance_bits: float | None = None) -> float:
    """rho / B: the noise's standard deviation over the predicted error.

    outputs: numbers of one answer. lost_bits: how many of the key's SECURITY_BITS all answers may cost, above 0.
    distance_bits: -log2 of the largest statistical distance over all answers; None does not limit it.
    """
    shown = outputs * answers
    root = sqrt(SECURITY_BITS) - sqrt(SECURITY_BITS - lost_bits)
    ratio = sqrt(shown * log2(e) / 2) / root
    return ratio if distance_bits is None else max(ratio, sqrt(shown) * 2.0 ** (distance_bits - 1))


def recovery_bits(ratio: float, outputs: int, answers: int) -> float:
    """Bits of security that are left against finding the key."""
    k = outputs * answers * log2(e) / (2 * ratio**2)
    return max(sqrt(SECURITY_BITS) - sqrt(k), 0.0) ** 2


def statistical_distance(ratio: float, outputs: int, answers: int) -> float:
    """The largest advantage of any test that tells answers with the encryption's noise from answers without it."""
    return min(sqrt(outputs * answers) / (2 * ratio), 1.0)


def class_recovery_bits(classes: int, answers: int) -> float:
    """Bits of security that are left against finding the key when so many classes were shown, and nothing else."""
    return max(SECURITY_BITS - answers * log2(max(classes, 2)), 0.0)


def changed_classes(scores: NDArray[Any], noise_std: float) -> float:
    """The expected share of rows whose largest score is another one under independent Gaussian noise.

    scores: (rows, outputs). With one output the class is its sign. The share is
    1 - E_t[prod over others of Phi((top - other) / rho + t)], t the noise of the largest score over rho, by
    Gauss-Hermite quadrature.
    """
    rows = np.asarray(scores, dtype=np.float64).reshape(len(scores), -1)
    if rows.shape[1] == 1:
        return float(ndtr(-np.abs(rows) / noise_std).mean())
    ordered = np.sort(rows, axis=1)
    margins = (ordered[:, -1:] - ordered[:, :-1]) / noise_std
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    kept = sum(
        weight * ndtr(margins + node).prod(axis=1) for node, weight in zip(nodes, weights / weights.sum(), strict=True)
    )
    return float(1 - np.mean(kept))
