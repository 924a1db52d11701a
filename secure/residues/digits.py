"""Residues as digits of 16 bits, for products with small codes: which layers they are exact for, and packed codes.

A residue x is d0 + 2^16 d1 + 2^32 d2 + ..., every digit within 16 bits with a sign. The sums of codes times one digit
are 32-bit integers. So a layer of small codes is exact however large the prime is: nothing is reduced between two
codes, as float64 needs beside a large prime. An instruction multiplies 16 digits, where one of float64 multiplies four
residues, so three digits take less time than one float64.

Ranges (derived). The digits of x exist where x is between -2^15 and 2^15 - 1 times B = 1 + 2^16 + 2^32 + ..., a range
of 2^(16 digits) whole numbers. A reduced residue is within q / 2 + 2, which is above the lower end. One above the upper
end is taken less q, which is not below the lower end, because q is less than 2^(16 digits).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.coded.plan import Linear
from secure.residues.constants import row_sums

DIGIT_BITS = 16
LARGEST_DIGIT = 1 << (DIGIT_BITS - 1)
#: Codes are 16-bit integers too.
LARGEST_CODE = LARGEST_DIGIT - 1
#: The largest sum of |codes| in a row whose products with digits a 32-bit integer holds.
LARGEST_ROW = ((1 << 31) - 1) // LARGEST_DIGIT
#: Rows that the kernel does at once, and positions.
GROUP, TILE = 6, 16


def digit_count(prime: int) -> int:
    """How many digits a residue has."""
    return -(-prime.bit_length() // DIGIT_BITS)


def highest_with_digits(count: int) -> int:
    """The largest whole number that has so many digits."""
    return (LARGEST_DIGIT - 1) * sum(1 << DIGIT_BITS * digit for digit in range(count))


def exact_in_digits(layer: Linear) -> bool:
    """Whether the layer's products with digits are exact in 32 bits."""
    largest = int(np.abs(layer.codes.astype(np.int64)).max(initial=0))
    return largest <= LARGEST_CODE and int(row_sums(layer).max(initial=0)) <= LARGEST_ROW


def digit_residues(columns: int, count: int) -> int:
    """The memory that the digits of a tile take, in residues of eight bytes."""
    return count * pair_count(columns) * TILE // 2


def pair_count(columns: int) -> int:
    """Pairs of columns; the last may lack its second one."""
    return -(-columns // 2)


def computed_rows(rows: int) -> int:
    """The rows that the kernel computes for so many: whole groups, and half a group where that is enough."""
    half = GROUP // 2
    return -(-rows // half) * half


def packed_codes(layer: Linear, columns: int) -> NDArray[np.int32]:
    """The codes as the kernel reads them: group after group of rows, in a group pair after pair of columns, of a pair
    its two codes in one integer for every row of the group. The last group may be a half one."""
    pairs, half = pair_count(columns), GROUP // 2
    matrix = layer.matrix(2 * pairs, np.int16)
    matrix = np.pad(matrix, ((0, computed_rows(layer.features) - layer.features), (0, 0)))
    both = matrix[:, 0::2].view(np.uint16) | matrix[:, 1::2].view(np.uint16).astype(np.uint32) << DIGIT_BITS
    whole = len(both) // GROUP * GROUP
    groups = both[:whole].reshape(-1, GROUP, pairs), both[whole:].reshape(-1, half, pairs)
    return np.concatenate([np.swapaxes(group, 1, 2).reshape(-1) for group in groups]).astype(np.uint32).view(np.int32)
