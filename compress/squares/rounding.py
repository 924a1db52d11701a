"""Weights as whole multiples of a power of two: rounded forward, trained as if they were not (straight-through).

Bengio et al. 2013 (arXiv 1308.3432). A plaintext with w fraction bits needs about w bits of scale in a ciphertext, so
that every bit here is one bit of every level of an encrypted network.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.network import Weights

Array = NDArray[np.float64]

#: A layer whose largest weight is below 2^-this keeps more bits behind the point, so that its codes are not all zero.
LEAST_EXPONENT = 3


def fraction_bits_of(values: Array, fraction_bits: int) -> int:
    """The bits behind the point of one layer's weights: those asked for, or more where all weights are small."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return fraction_bits
    return fraction_bits + max(0, math.floor(-math.log2(largest)) - LEAST_EXPONENT)


def rounded(weight: Tensor, fraction_bits: int) -> Tensor:
    """The nearest multiples of 2^-fraction_bits; the gradient is that of the weight itself."""
    kept = torch.round(weight * 2.0**fraction_bits) * 2.0**-fraction_bits
    return weight + (kept - weight).detach()


def coded(values: Array, fraction_bits: int, mask: NDArray[np.bool_] | None) -> Weights:
    """Values as integers of the smallest type times 2^-fraction_bits."""
    codes = np.rint(np.ldexp(values, fraction_bits)).astype(np.int64)
    largest = int(np.abs(codes).max(initial=0))
    kind = next(kind for kind in (np.int8, np.int16, np.int32, np.int64) if largest <= np.iinfo(kind).max)
    return Weights(
        codes=codes.astype(kind), step=np.array(2.0**-fraction_bits), bits=largest.bit_length() + 1, mask=mask
    )
