"""How many bits the modulus needs, so that no output wraps around. Pure.

Coefficients of a polynomial are at most as large as its largest slot, and as large where all images of a block are
alike. Only the outputs must stay below half of the modulus: before them, arithmetic is exact modulo Q whatever wraps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.bounds.headroom import EDGE_CREDIT_BITS
from secure.noise import BOUND_SIGMAS
from secure.passes.chains import HEADROOM_BITS
from secure.throughput.evidence import Evidence

Array = NDArray[np.float64]


def modulus_bits(evidence: Evidence, scales: Array, variance: float) -> float:
    """log2 of the smallest modulus that holds all outputs of these scales, with headroom.

    variance: of an input feature under encryption.
    """
    noise = BOUND_SIGMAS * np.sqrt(evidence.gains.max(axis=1) * variance)
    reserved = 2.0**HEADROOM_BITS * np.maximum(evidence.largest, evidence.edges / 2.0**EDGE_CREDIT_BITS)
    if evidence.hardest is not None:
        reserved = np.maximum(reserved, evidence.hardest.largest)
    return float(np.log2(max(np.max((reserved + noise) * scales), 1.0)) + 1)
