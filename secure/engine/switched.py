"""Key switches: sums of products of digits and keys, which are rotated into their totals. Compiled by numba.

A piece of work is half of a row, of all totals of a run: instructions that have the same rows and do not wait for one
another (`secure.engine.gathering`). The row is taken block by block. A rotation moves whole blocks, since those of the
engine's order are places that SEAL's order has side by side and aligned, and a power of two of them: the block of a
place depends on the low bits of its root's exponent, and so does the block that it moves to (derived). So digits are
read once for all rotations of a run, and everything between two memories stays in the first-level cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.addresses import (
    ADDRESS,
    ARRAYS,
    FLAG,
    PARTS,
    ROWS,
    indices_at,
    moduli_at,
    numbers_at,
    residues_at,
)
from secure.engine.compiled import kernel
from secure.engine.modular import collected, common_start, reduced, times, with_product
from secure.engine.tables import Tables
from secure.engine.team import shared
from secure.engine.vectors import LANES, load, splat, store

#: Products of digits and keys that are added with one quotient.
MOST_PRODUCTS = 4
#: Pieces of a row.
SHARES = 2
#: Numbers of a block: sums of both parts take 32 KB, and half a row has at least as many.
BLOCK = 2048
#: Rows of scratch that a worker needs: sums of both parts, and the same rotated.
SCRATCH_ROWS = 2


@kernel
def add_switched(
    team: int, places: NDArray[np.int64], code: NDArray[np.int64], first: int, end: int, degree: int,
    scratch: NDArray[np.float64], t: Tables, specials: int,
) -> None:  # fmt: skip
    """total (2, rows, N) += (sum over digits of digit * key) + carried * factors, rotated, for instructions first to
    end - 1. rows: level + specials.

    An instruction's arrays: total; digits (digits, rows, N); key (digits or more, 2, rows or more, N), of this level or
    a higher one, with the rows of the special primes last; the source, whose parts but the last one are carried along
    without a key switch; factors (primes,), P modulo each prime, or ones if the source is extended; order (N,), of the
    rotation, by which place j of a row gets what lies at order[j]; moduli. scratch: (SCRATCH_ROWS * threads, N).
    """
    rows = places[code[first, ARRAYS + 1], ROWS]
    _switched_piece(team, SHARES * rows, (places, code, first, end, degree, scratch, t, specials))


@shared
@kernel
def _switched_piece(piece, worker, places, code, first, end, degree, scratch, t, specials):  # type: ignore[no-untyped-def]
    row, share, block = piece // SHARES, piece % SHARES, min(BLOCK, degree // SHARES)
    sums, rotated = scratch[SCRATCH_ROWS * worker], scratch[SCRATCH_ROWS * worker + 1]
    for start in range(share * degree // SHARES, (share + 1) * degree // SHARES, block):
        for step in range(first, end):
            at, fresh = code[step, ARRAYS:], code[step, FLAG] != 0
            total, digits = residues_at(places, at[0], degree), residues_at(places, at[1], degree)
            key = numbers_at(places[at[2], ADDRESS], (places[at[2], PARTS], 2, places[at[2], ROWS], degree))
            carried, moduli = residues_at(places, at[3], degree)[:-1], moduli_at(places, at[6])
            factors, order = (
                numbers_at(places[at[4], ADDRESS], len(t.primes)),
                indices_at(places[at[5], ADDRESS], degree),
            )
            which = row if row < digits.shape[1] - specials else key.shape[2] - digits.shape[1] + row
            prime, inverse = moduli[row, 0], moduli[row, 1]
            sum_of_products(digits, key, row, which, start, sums, block, prime, inverse)
            for part in range(len(carried)):
                if row < carried.shape[1]:
                    own = sums[part * block : (part + 1) * block]
                    _add_scaled(carried[part, row], factors[row], start, own, prime, inverse)
            target = _moves_to(order, start, block)
            for part in range(2):
                own, moved = sums[part * block : (part + 1) * block], rotated[part * block : (part + 1) * block]
                _rotate(own, order, start, target, moved)
                _add_block(moved, total[part, row], target, fresh, prime, inverse)


@kernel
def sum_of_products(digits, key, row, which, place, result, block, prime, inverse):  # type: ignore[no-untyped-def]
    """result (2 * block or more,): for both parts, the sum over all digits of the digit's row times the key's row, from
    `place` on, not reduced."""
    p, i, start = splat(prime), splat(inverse), splat(common_start(prime))
    for j in range(place, place + block, LANES):
        first = second = zero = splat(0.0)
        for begin in range(0, len(digits), MOST_PRODUCTS):
            high0, low0, high1, low1 = start, zero, start, zero
            for digit in range(begin, min(begin + MOST_PRODUCTS, len(digits))):
                value = load(digits[digit, row], j)
                high0, low0 = with_product(value, load(key[digit, 0, which], j), high0, low0)
                high1, low1 = with_product(value, load(key[digit, 1, which], j), high1, low1)
            first, second = first + collected(high0, low0, start, p, i), second + collected(high1, low1, start, p, i)
            if begin + MOST_PRODUCTS < len(digits):
                first, second = reduced(first, p, i), reduced(second, p, i)
        store(result, j - place, first)
        store(result, block + j - place, second)


@kernel
def _add_scaled(source, factor, start, total, prime, inverse):  # type: ignore[no-untyped-def]
    p, i, f = splat(prime), splat(inverse), splat(factor)
    for j in range(0, len(total), LANES):
        store(total, j, load(total, j) + times(load(source, start + j), f, p, i))


@kernel
def _moves_to(order, start, block):  # type: ignore[no-untyped-def]
    """Where the block goes that starts here."""
    for target in range(0, len(order), block):
        if order[target] // block == start // block:
            return target
    return start  # never: a rotation moves every block


@kernel
def _rotate(source, order, start, target, result):  # type: ignore[no-untyped-def]
    for j in range(len(result)):
        result[j] = source[order[target + j] - start]


@kernel
def _add_block(source, total, target, fresh, prime, inverse):  # type: ignore[no-untyped-def]
    p, i = splat(prime), splat(inverse)
    for j in range(0, len(source), LANES):
        value = load(source, j)
        if not fresh:
            value = value + load(total, target + j)
        store(total, target + j, reduced(value, p, i))
