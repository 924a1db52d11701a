"""Operations on whole ciphertexts: arrays (parts, level, N) of residues in the engine's order. Compiled by numba.

A key switch is SEAL's, or a hybrid one with several special primes, whose product is P. Its steps are separate kernels,
so that rotations of one value share its digits (`base_change`, `grouped`, `switched`; hoisting, Halevi and Shoup 2018)
and sums of key switches share one division by P. Values that are not divided yet are "extended": (2, level + specials,
N), with the rows of the special primes last.

The caller owns the arrays for results. The rows or parts that a kernel works on are pieces that the threads of a team
share. These parameters mean the same everywhere:

    team      the address of the team, or ALONE
    scratch   rows of N numbers for every worker; there may be more than needed
    moduli    (rows, 2): the prime of every row, and 1 / prime
    fresh     set the total instead of adding to it

Some kernels take more than ten parameters: compiled kernels take plain arrays, and packing them into objects would cost
time at every call.

Ranges (derived from the bounds in `modular`): stored residues lie within 0.9 p, keys and constants within p / 2, so a
product of the two lies within 0.67 p. One product and a stored residue add up to less than 8 p, up to which a sum is
exact and may be reduced; `modular` has the bound of four products with one quotient.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.compiled import inlined, kernel
from secure.engine.modular import collected, common_start, reduced, times, with_product
from secure.engine.tables import Tables
from secure.engine.team import ALONE, shared
from secure.engine.transform import forward
from secure.engine.vectors import LANES, load, splat, store

Array = NDArray[np.float64]

#: The fewest residues of a value for which two threads add it to another value sooner than one thread does. Measured:
#: two rows of 8192 residues are enough, two of 4096 are not.
LEAST_SHARED = 2 * 8192


@kernel
def _multiply_row(left, right, result, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(result)):
        result[j] = times(left[j], right[j], prime, inverse)


@kernel
def _multiply_add_row(left, right, total, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(total)):
        total[j] = reduced(total[j] + times(left[j], right[j], prime, inverse), prime, inverse)


@inlined
def _where_worth_it(team: int, value: Array) -> int:
    """The team for adding a value to another one, or ALONE if sharing the work would take longer than doing it."""
    return team if value.size >= LEAST_SHARED else ALONE


@kernel
def add_value(team: int, total: Array, fresh: bool, value: Array, moduli: Array) -> None:
    """total += value, for the parts and rows that the value has."""
    parts, rows, degree = value.shape
    _value_row(_where_worth_it(team, value), parts * rows, (total, fresh, value, moduli))


@shared
@kernel
def _value_row(piece, worker, total, fresh, value, moduli):  # type: ignore[no-untyped-def]
    parts, rows, degree = value.shape
    part, row = piece // rows, piece % rows
    prime, inverse = moduli[row, 0], moduli[row, 1]
    a, b = value[part, row], total[part, row]
    if fresh:
        b[:] = a
        return
    for j in range(degree):
        b[j] = reduced(a[j] + b[j], prime, inverse)


@kernel
def add_scaled(team: int, total: Array, value: Array, factors: Array, moduli: Array) -> None:
    """total += value * factors, for the parts and rows that the value has. factors: (rows,)."""
    parts, rows, degree = value.shape
    _scaled_row(_where_worth_it(team, value), parts * rows, (total, value, factors, moduli))


@shared
@kernel
def _scaled_row(piece, worker, total, value, factors, moduli):  # type: ignore[no-untyped-def]
    parts, rows, degree = value.shape
    part, row = piece // rows, piece % rows
    prime, inverse, factor = moduli[row, 0], moduli[row, 1], factors[row]
    a, b = value[part, row], total[part, row]
    for j in range(degree):
        b[j] = reduced(b[j] + times(a[j], factor, prime, inverse), prime, inverse)


@kernel
def add_product(team: int, total: Array, fresh: bool, value: Array, plain: Array, moduli: Array) -> None:
    """total += value * plain. plain: (rows, N). Only the first `rows` rows of value and total take part."""
    _product_row(team, len(plain) * len(value), (total, fresh, value, plain, moduli))


@shared
@kernel
def _product_row(piece, worker, total, fresh, value, plain, moduli):  # type: ignore[no-untyped-def]
    row, part = piece // len(value), piece % len(value)
    prime, inverse = moduli[row, 0], moduli[row, 1]
    if fresh:
        _multiply_row(value[part, row], plain[row], total[part, row], prime, inverse)
    else:
        _multiply_add_row(value[part, row], plain[row], total[part, row], prime, inverse)


# Twelve parameters, for the reason in the module's docstring.
@kernel
def add_four_products(
    team: int, total: Array, fresh: bool, v0: Array, v1: Array, v2: Array, v3: Array, c0: Array, c1: Array, c2: Array,
    c3: Array, moduli: Array,
) -> None:  # fmt: skip
    """`add_product` for four values v and constants c at once, which reads and writes the total only once."""
    _four_products_row(team, len(c0) * len(v0), (total, fresh, v0, v1, v2, v3, c0, c1, c2, c3, moduli))


@shared
@kernel
def _four_products_row(  # type: ignore[no-untyped-def]
    piece, worker, total, fresh, v0, v1, v2, v3, c0, c1, c2, c3, moduli
):
    row, part = piece // len(v0), piece % len(v0)
    prime, inverse = moduli[row, 0], moduli[row, 1]
    four_products(
        total[part, row], fresh, v0[part, row], v1[part, row], v2[part, row], v3[part, row], c0[row], c1[row], c2[row],
        c3[row], 0, prime, inverse,
    )  # fmt: skip


@kernel
def four_products(  # type: ignore[no-untyped-def]
    target, fresh, v0, v1, v2, v3, c0, c1, c2, c3, place, prime, inverse
):
    """target += the sum of four products, for as many numbers as the constants have, from `place` on for others."""
    p, i, start = splat(prime), splat(inverse), splat(common_start(prime))
    for j in range(0, len(c0), LANES):
        high, low = with_product(load(v0, place + j), load(c0, j), start, splat(0.0))
        high, low = with_product(load(v1, place + j), load(c1, j), high, low)
        high, low = with_product(load(v2, place + j), load(c2, j), high, low)
        high, low = with_product(load(v3, place + j), load(c3, j), high, low)
        added = collected(high, low, start, p, i)
        if not fresh:
            added = added + load(target, place + j)
        store(target, place + j, reduced(added, p, i))


@kernel
def square(team: int, value: Array, result: Array, moduli: Array) -> None:
    """result (3, level, N) = the square of a value (c0, c1): the parts c0^2, 2 c0 c1 and c1^2."""
    _squared_row(team, value.shape[1], (value, result, moduli))


@shared
@kernel
def _squared_row(row, worker, value, result, moduli):  # type: ignore[no-untyped-def]
    prime, inverse = moduli[row, 0], moduli[row, 1]
    a, b = value[0, row], value[1, row]
    first, middle, last = result[0, row], result[1, row], result[2, row]
    for j in range(len(a)):
        first[j] = times(a[j], a[j], prime, inverse)
        middle[j] = reduced(2 * times(a[j], b[j], prime, inverse), prime, inverse)
        last[j] = times(b[j], b[j], prime, inverse)


@kernel
def scale(rows: Array, factors: Array, moduli: Array) -> None:
    """Multiply every row of (rows, N) by its factor, in place."""
    for row in range(len(rows)):
        prime, inverse, values = moduli[row, 0], moduli[row, 1], rows[row]
        for j in range(len(values)):
            values[j] = times(values[j], factors[row], prime, inverse)


@kernel
def transformed(rows: Array, specials: int, t: Tables) -> None:
    """Transform the coefficients of a plaintext, (rows, N), in place.

    Row i is taken modulo data prime i, the last `specials` rows modulo the special primes.
    """
    scratch = np.empty(rows.shape[1])
    for row in range(len(rows)):
        forward(rows[row], scratch, row if row < len(rows) - specials else len(t.primes) - len(rows) + row, t)
