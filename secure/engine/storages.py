"""How constants are stored: whole, or compactly, and then expanded inside the kernel that multiplies with them.

The polynomial of real slots takes the same value at a root of unity and at its inverse, so the second half of its
residues is the first half in reverse (`transform.forward_half`). Compact storages exist for real slots alone.

A packed row is N / 2 residues, tile by tile: the low parts of a tile, four bytes each with a sign, then its high parts,
of as many bytes as the row's prime asks for. r = high * 2^32 + 2^31 + low with high = r / 2^32 rounded down, or r = low
where there is no high part. A small constant is its N / 2 coefficients,
zeros after them, for all rows together: each row is transformed at every use.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from secure.engine.addresses import bytes_at, shorts_at, words_at
from secure.engine.compiled import inlined, kernel
from secure.engine.modular import fma, reduced, times
from secure.engine.tables import BLOCK_ROWS, Tables, transform_columns
from secure.engine.transform import forward_half
from secure.engine.vectors import LANES, load_integers, splat, store
from secure.params import Params
from secure.seal.context import RESIDUE_BYTES

Array = NDArray[np.float64]
Bytes = NDArray[np.uint8]


class Storage(IntEnum):
    """How a constant lies in memory. Kernels compare the numbers, and read a whole constant as an array of one part."""

    WHOLE = 1  # residues (rows, N) as float64
    PACKED = 2  # rows of N / 2 residues in four to eight bytes
    SMALL = 3  # N / 2 coefficients, int16
    SMALL_LIFTED = 4  # the same, where the residues are those of P times the constant


#: Storages of coefficients.
SMALLS = (Storage.SMALL, Storage.SMALL_LIFTED)
#: The largest coefficient of a small constant.
LARGEST_SMALL = 2**15 - 1
LOW, MIDDLE, LOW_BYTES = 2.0**32, 2.0**31, 4
#: Numbers of a tile: what is expanded at a time. Those of four constants take 16 KB.
TILE = 512


def high_bytes(prime: float) -> int:
    """Bytes of the high part of a residue within prime / 2."""
    if prime < 2.0**32:
        return 0
    if prime < 2.0**40:
        return 1
    return 2 if prime < 2.0**48 else 4


def packed_bytes(primes: Sequence[float], degree: int) -> int:
    """What the packed rows of these primes take."""
    return sum(LOW_BYTES + high_bytes(prime) for prime in primes) * (degree // 2)


def constant_primes(params: Params, level: int, extended: bool) -> tuple[int, ...]:
    """The primes of the rows of a constant: of its level, and the special ones if it is extended."""
    return (*params.data_primes[:level], *(params.special_primes if extended else ()))


def storage_bytes(storage: Storage, primes: Sequence[float], degree: int) -> int:
    """What a constant with rows of these primes takes in memory."""
    if storage is Storage.WHOLE:
        return len(primes) * degree * RESIDUE_BYTES
    return (degree // 2 + LANES) * 2 if storage in SMALLS else packed_bytes(primes, degree)


def has_compact(degree: int) -> bool:
    """Whether constants of this ring have compact storages: half of a row has to be whole blocks."""
    return bool(degree // transform_columns(degree) >= 2 * BLOCK_ROWS)


_high_bytes = inlined(high_bytes)


@kernel
def packed_place(row, moduli, degree):  # type: ignore[no-untyped-def]
    """Where a packed row starts, in bytes. moduli: as for all kernels, of the rows before it and more."""
    place = 0
    for before in range(row):
        place += (LOW_BYTES + _high_bytes(moduli[before, 0])) * (degree // 2)
    return place


@kernel
def packed_rows(
    small: NDArray[np.int16], lifted: bool, moduli: Array, result: Bytes, row: Array, scratch: Array, specials: int,
    t: Tables,
) -> None:  # fmt: skip
    """Write the packed rows of a small constant to result, one after the other.

    lifted: times P. moduli: (rows, 2). row: (N / 2,). scratch: as for `forward`. specials: how many rows are those of
    special primes.
    """
    half, rows, place = len(row), len(moduli), 0
    for index in range(rows):
        which = index if index < rows - specials else len(t.primes) - rows + index
        prime, inverse = moduli[index, 0], moduli[index, 1]
        forward_half(small, row, scratch, which, t)
        size = _high_bytes(prime)
        for start in range(0, half, TILE):
            low = result[place : place + LOW_BYTES * TILE].view(np.int32)
            place += LOW_BYTES * TILE
            for j in range(TILE):
                value = row[start + j]
                if lifted:
                    value = reduced(times(value, t.special[which], prime, inverse), prime, inverse)
                high = np.floor(value / LOW) if size else 0.0
                low[j] = np.int32(value - high * LOW - (MIDDLE if size else 0.0))
                for byte in range(size):
                    result[place + size * j + byte] = (int(high) >> (8 * byte)) & 255
            place += size * TILE


@kernel
def expand(packed, place, start, prime, tile):  # type: ignore[no-untyped-def]
    """Write the numbers of a packed row from `start` on, the first of a tile, to `tile`. packed: the address of the
    constant. place: where the row starts."""
    size = _high_bytes(prime)
    address = packed + place + start * (LOW_BYTES + size)
    low, above = words_at(address, TILE), address + LOW_BYTES * TILE
    if size == 0:
        for j in range(0, TILE, LANES):
            store(tile, j, load_integers(low, j))
    elif size == 1:
        high = bytes_at(above, TILE)
        for j in range(0, TILE, LANES):
            store(tile, j, fma(load_integers(high, j), splat(LOW), load_integers(low, j)) + splat(MIDDLE))
    elif size == 2:
        wide = shorts_at(above, TILE)
        for j in range(0, TILE, LANES):
            store(tile, j, fma(load_integers(wide, j), splat(LOW), load_integers(low, j)) + splat(MIDDLE))
    else:
        widest = words_at(above, TILE)
        for j in range(0, TILE, LANES):
            store(tile, j, fma(load_integers(widest, j), splat(LOW), load_integers(low, j)) + splat(MIDDLE))
