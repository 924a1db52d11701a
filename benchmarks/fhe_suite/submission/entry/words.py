"""Residues as bit strings: value k of a row of N takes the bits k b to (k + 1) b - 1, little-endian.

The layout repeats after 64 values at most, so all groups of a row are packed together.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

WORD_BITS = 64


def pack(values: Words, bits: int) -> Words:
    """(rows, N b / 64) of values (rows, N) below 2^bits; N is a multiple of 64."""
    group, words = _period(bits)
    grouped = values.reshape(len(values), -1, group)
    result = np.zeros((*grouped.shape[:2], words), dtype=np.uint64)
    for place, word, shift, spills in _places(bits):
        value = grouped[:, :, place]
        result[:, :, word] |= value << np.uint64(shift)
        if spills:
            result[:, :, word + 1] |= value >> np.uint64(WORD_BITS - shift)
    return result.reshape(len(values), -1)


def unpack(packed: Words, bits: int) -> Words:
    """(rows, N) of the values that `pack` packed."""
    group, words = _period(bits)
    grouped = packed.reshape(len(packed), -1, words)
    result = np.empty((*grouped.shape[:2], group), dtype=np.uint64)
    for place, word, shift, spills in _places(bits):
        value = grouped[:, :, word] >> np.uint64(shift)
        if spills:
            value |= grouped[:, :, word + 1] << np.uint64(WORD_BITS - shift)
        result[:, :, place] = value
    result &= np.uint64((1 << bits) - 1)
    return result.reshape(len(packed), -1)


def _period(bits: int) -> tuple[int, int]:
    """(values, words) after which the layout repeats."""
    common = gcd(bits, WORD_BITS)
    return WORD_BITS // common, bits // common


def _places(bits: int) -> Iterator[tuple[int, int, int, bool]]:
    """(value, its first word, shift within it, whether it reaches into the next one) of a group."""
    for place in range(_period(bits)[0]):
        word, shift = divmod(place * bits, WORD_BITS)
        yield place, word, shift, shift + bits > WORD_BITS
