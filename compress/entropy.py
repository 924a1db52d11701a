"""Lengths of two codes that a compressed layer may be written in, to the bit. Pure.

Golomb-Rice codes for the gaps between survivors, Huffman codes for their values: both textbook codes, tables included in the count.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: A canonical Huffman table is the length of every symbol's code, in this many bits.
LENGTH_BITS = 5
#: Remainder bits tried; 4 bits say which was taken.
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


def huffman_bits(counts: Sequence[int], symbols: int) -> int:
    """Huffman length of values that occur `counts` times each, with a table of code lengths for all `symbols`."""
    heap = [count for count in counts if count > 0]
    table = symbols * LENGTH_BITS
    if len(heap) < 2:
        return sum(heap) + table  # a lone symbol still takes a bit each time
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        total += joined
        heapq.heappush(heap, joined)
    return total + table
