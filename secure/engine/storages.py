"""How constants are stored: whole, or compactly, and then expanded inside the kernel that multiplies with them.

The polynomial of real slots takes the same value at a root of unity and at its inverse, so the second half of its
residues is the first half in reverse (`transform.forward_half`). Compact storages exist for real slots alone.

A packed row is N / 2 residues r: their low 32 bits first, then r / 2^32 rounded down, in one byte, or in two. A small
constant is its N / 2 coefficients, zeros after them, for all rows together: each row is transformed at every use.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from secure.engine.compiled import kernel
from secure.engine.modular import reduced, times
from secure.engine.tables import BLOCK_ROWS, Tables, transform_columns
from secure.engine.transform import forward_half
from secure.engine.vectors import LANES
from secure.params import Params
from secure.seal.context import RESIDUE_BYTES

Array = NDArray[np.float64]
Bytes = NDArray[np.uint8]


class Storage(IntEnum):
    """How a constant lies in memory. Kernels compare the numbers, and read a whole constant as an array of one part."""

    WHOLE = 1  # residues (rows, N) as float64
    PACKED = 2  # rows of N / 2 residues of at most 40 bits
    PACKED_WIDE = 3  # rows of N / 2 residues of at most 48 bits
    SMALL = 4  # N / 2 coefficients, int16
    SMALL_LIFTED = 5  # the same, where the residues are those of P times the constant


#: Storages of coefficients.
SMALLS = (Storage.SMALL, Storage.SMALL_LIFTED)
#: Bytes of a packed residue.
PACKED_BYTES = {Storage.PACKED: 5, Storage.PACKED_WIDE: 6}
#: The largest coefficient of a small constant.
LARGEST_SMALL = 2**15 - 1
LOW = 2.0**32


def storage_bytes(storage: Storage, rows: int, degree: int) -> int:
    """What a constant takes in memory."""
    if storage is Storage.WHOLE:
        return rows * degree * RESIDUE_BYTES
    if storage in SMALLS:
        return (degree // 2 + LANES) * 2
    return rows * (degree // 2) * PACKED_BYTES[storage]


def has_compact(degree: int) -> bool:
    """Whether constants of this ring have compact storages: half of a row has to be whole blocks."""
    return bool(degree // transform_columns(degree) >= 2 * BLOCK_ROWS)


def packed_storage(params: Params, level: int, extended: bool) -> Storage | None:
    """The storage of packed rows for a constant of this level, modulo the special primes too if it is extended; None
    where one of these primes is too large for it."""
    primes = (*params.data_primes[:level], *(params.special_primes if extended else ()))
    bits = max(prime.bit_length() for prime in primes)
    return Storage.PACKED if bits <= 40 else Storage.PACKED_WIDE if bits <= 48 else None


@kernel
def packed_rows(
    small: NDArray[np.int16], lifted: bool, high_bytes: int, result: Bytes, row: Array, scratch: Array, specials: int,
    t: Tables,
) -> None:  # fmt: skip
    """Write the packed rows of a small constant to result (rows, bytes of a row).

    lifted: times P. specials: how many rows are those of special primes. row: (N / 2,). scratch: as for `forward`.
    """
    half, rows = len(row), len(result)
    for index in range(rows):
        which = index if index < rows - specials else len(t.primes) - rows + index
        prime, inverse = t.primes[which], t.inverses[which]
        forward_half(small, row, scratch, which, t)
        low = result[index, : 4 * half].view(np.uint32)
        for j in range(half):
            value = row[j]
            if lifted:
                value = reduced(times(value, t.special[which], prime, inverse), prime, inverse)
            high = int(np.floor(value / LOW))
            low[j] = np.uint32(value - high * LOW)
            for byte in range(high_bytes):
                result[index, 4 * half + high_bytes * j + byte] = (high >> (8 * byte)) & 255
