"""Exact lengths of Golomb-Rice codes for the gaps between surviving weights, header included (textbook). Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Numbers of remainder bits that are tried; 4 header bits say which one was taken.
RICE_BITS = range(16)
RICE_HEADER_BITS = 4


def rice_bits(gaps: NDArray[np.integer], remainder_bits: int) -> int:
    """Golomb-Rice length of gaps >= 1: the quotient of gap - 1 in unary, a stop bit, the remainder."""
    quotients = (gaps.astype(np.int64) - 1) >> remainder_bits
    return int(quotients.sum()) + len(gaps) * (1 + remainder_bits)


def best_rice(gaps: NDArray[np.integer]) -> tuple[int, int]:
    """(remainder bits, length) of the shortest Golomb-Rice code, its header included."""
    lengths = [rice_bits(gaps, remainder) for remainder in RICE_BITS]
    best = int(np.argmin(lengths))
    return best, lengths[best] + RICE_HEADER_BITS
