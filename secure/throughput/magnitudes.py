"""How many bits the modulus needs, so that no output wraps around. Pure.

Only the outputs must stay below half of the modulus: before them, arithmetic is exact modulo Q whatever wraps.

Coefficients of a polynomial are at most as large as its largest slot, and as large where all images of a block are
alike. With a random phase in every slot (`secure.coded.homogeneous`), they add up like noise instead (derived). Slots
y_j w_j, |w_j| = 1, give the coefficient (2 / N) sum of y_j cos(angle_j), all N / 2 angles independent and uniform.
E exp(l cos(angle)) <= exp(l^2 / 4), so it exceeds t with a probability of at most 2 exp(-t^2 / 2 s^2), where
s^2 = mean(y_j^2) / N. So not the largest slot counts, but the mean square of a block, over N.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from secure.bounds.headroom import EDGE_CREDIT_BITS
from secure.noise import BOUND_SIGMAS
from secure.passes.chains import HEADROOM_BITS
from secure.throughput.evidence import Evidence

Array = NDArray[np.float64]


#: The probability that any coefficient of a block's answers wraps around, at the reserved mean square.
WRAP_PROBABILITY = 1e-12
#: What is reserved beyond the mean square of the most extreme blocks, in bits of its root.
BLOCK_HEADROOM_BITS = 0.5


def phased_modulus_bits(evidence: Evidence, scales: Array, variance: float, degree: int) -> float:
    """`modulus_bits` for outputs with random phases. degree: N."""
    noise = 2 * evidence.gains.max(axis=1) * variance  # of both parts of a complex slot
    blocks = np.maximum(evidence.blocks, evidence.edges / 2.0**EDGE_CREDIT_BITS)
    squares = 4.0**BLOCK_HEADROOM_BITS * blocks**2 + noise
    sigmas = sqrt(2 * log(2 * degree * len(scales) / WRAP_PROBABILITY))
    return float(np.log2(max(sigmas * np.max(np.sqrt(squares / degree) * scales), 1.0)) + 1)


def modulus_bits(evidence: Evidence, scales: Array, variance: float) -> float:
    """log2 of the smallest modulus that holds all outputs of these scales, with headroom.

    variance: of an input feature under encryption.
    """
    noise = BOUND_SIGMAS * np.sqrt(evidence.gains.max(axis=1) * variance)
    reserved = 2.0**HEADROOM_BITS * np.maximum(evidence.largest, evidence.edges / 2.0**EDGE_CREDIT_BITS)
    if evidence.hardest is not None:
        reserved = np.maximum(reserved, evidence.hardest.largest)
    return float(np.log2(max(np.max((reserved + noise) * scales), 1.0)) + 1)
