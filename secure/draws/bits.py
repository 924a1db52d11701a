"""Residues as bit strings: value k of a row of N takes the bits k b to (k + 1) b - 1, little-endian. Compiled by numba.

N is a multiple of 64, so that every row fills whole words of 64 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.draws.compiled import kernel

Array = NDArray[np.float64]
Words = NDArray[np.uint64]


def row_words(degree: int, bits: int) -> int:
    """Words of 64 bits of a row of N values of this many bits."""
    return degree * bits // 64


@kernel
def pack_row(values: Array, bits: int, result: Words) -> None:
    """result (N b / 64,): whole numbers (N,) in [0, 2^bits), bits at most 52."""
    used, word = np.uint64(0), 0
    held, width = np.uint64(0), np.uint64(bits)
    whole, one = np.uint64(64), np.uint64(1)
    for place in range(len(values)):
        value = np.uint64(np.int64(values[place]))
        held |= value << used
        result[word] = held
        total = used + width
        if total >= whole:
            # two shifts, since one by 64 is undefined
            held = value >> one >> (np.uint64(63) - used)
            word += 1
        used = total & np.uint64(63)


@kernel
def unpack_row(packed: Any, first: int, bits: int, result: Array) -> None:
    """result (count,): whole numbers `first` to `first` + count - 1 of a row (N b / 64,), in [0, 2^bits), bits at most
    52."""
    mask, last = np.uint64((1 << bits) - 1), len(packed) - 1
    for place in range(len(result)):
        start = (first + place) * bits
        word, shift = start >> 6, np.uint64(start & 63)
        value = packed[word] >> shift | packed[min(word + 1, last)] << np.uint64(1) << (np.uint64(63) - shift)
        result[place] = np.float64(np.int64(value & mask))
