"""How many bits the modulus needs, so that no output wraps around. Pure.

Only the outputs must stay below half of the modulus: before them, arithmetic is exact modulo Q whatever wraps.

Coefficients of a polynomial are at most as large as its largest slot, and as large where all images of a block are
alike. With a random phase in every slot (`secure.coded.homogeneous`), they add up like noise instead (derived). Slots
y_j w_j, |w_j| = 1, give the coefficient (2 / N) sum of y_j cos(angle_j), all N / 2 angles independent and uniform. Its
variance is s^2 = mean(y_j^2) / N, and E exp(l cos(angle)) <= exp(l^2 / 4), so it exceeds t with a probability of at
most 2 exp(-t^2 / 2 s^2). So not the largest slot counts, but the mean square of a block, over N.

And single coefficients may wrap around, since the client puts them right (`secure.streams.unwrapping`). That works as
long as few do, and as long as noise does not look like wraps.
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


#: In how many standard deviations of a coefficient the modulus ends, at the reserved mean square. Then one in 22 wraps
#: around. Clients can put right one in 13, which is 1.75 standard deviations (tried out in
#: `tests/secure/test_unwrapping.py`).
MODULUS_SIGMAS = 2.0
#: The probability that noise in any coefficient of a block's answers looks like a wrap or hides one.
MISREAD_PROBABILITY = 1e-12
#: What is reserved beyond the mean square of the most extreme blocks, in bits of its root.
BLOCK_HEADROOM_BITS = 0.5


def phased_modulus_bits(evidence: Evidence, scales: Array, variance: float, degree: int) -> float:
    """`modulus_bits` for outputs with random phases. degree: N.

    A client takes what is more than a quarter of the modulus in the imaginary parts for a wrap.
    """
    noise = evidence.gains.max(axis=1) * variance  # of the real and of the imaginary part of a complex slot
    blocks = np.maximum(evidence.blocks, evidence.edges / 2.0**EDGE_CREDIT_BITS)
    squares = 4.0**BLOCK_HEADROOM_BITS * blocks**2 + 2 * noise
    sigmas = sqrt(2 * log(2 * degree * len(scales) / MISREAD_PROBABILITY))
    half = np.maximum(MODULUS_SIGMAS * np.sqrt(squares), 2 * sigmas * np.sqrt(noise)) / sqrt(degree)
    return float(np.log2(max(np.max(half * scales), 1.0)) + 1)


def modulus_bits(evidence: Evidence, scales: Array, variance: float) -> float:
    """log2 of the smallest modulus that holds all outputs of these scales, with headroom.

    variance: of an input feature under encryption.
    """
    noise = BOUND_SIGMAS * np.sqrt(evidence.gains.max(axis=1) * variance)
    reserved = 2.0**HEADROOM_BITS * np.maximum(evidence.largest, evidence.edges / 2.0**EDGE_CREDIT_BITS)
    if evidence.hardest is not None:
        reserved = np.maximum(reserved, evidence.hardest.largest)
    return float(np.log2(max(np.max((reserved + noise) * scales), 1.0)) + 1)
