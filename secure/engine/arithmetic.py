"""Operations on whole ciphertexts: arrays (parts, level, N) of residues in the engine's order. Compiled by numba.

A key switch is SEAL's, or a hybrid one with several special primes, whose product is P. Its steps are separate here, so
that rotations of one value share its digits (`base_change`, `grouped`; hoisting, Halevi and Shoup 2018) and sums of key
switches share one division by P. Values that are not divided yet are "extended": (2, level + specials, N), with the
rows of the special primes last.

The caller owns the arrays for results. The rows or parts that a kernel works on are pieces that the threads of a team
share. These parameters mean the same everywhere:

    team      the address of the team, or ALONE
    scratch   rows of N numbers for every worker; there may be more than needed
    moduli    (rows, 2): the prime of every row, and 1 / prime
    fresh     set the total instead of adding to it

Some kernels take more than ten parameters: compiled kernels take plain arrays, and packing them into objects would cost
time at every call.

Ranges (derived from the bounds in `modular`): stored residues lie within 0.9 p, keys and constants within p / 2, so a
product of the two lies within 0.67 p. Seven products and a stored residue add up to at most 5.6 p. That is below 8 p,
up to which a sum is exact and may be reduced.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.compiled import inlined, kernel
from secure.engine.modular import reduced, times
from secure.engine.tables import Tables
from secure.engine.team import ALONE, shared
from secure.engine.transform import forward
from secure.engine.vectors import LANES, load, splat, store

Array = NDArray[np.float64]

#: Products of digits and keys that are added between two reductions of their sum.
MAX_UNREDUCED = 6
#: The fewest residues of a value for which two threads add it to another value sooner than one thread does. Measured:
#: two rows of 8192 residues are enough, two of 4096 are not.
LEAST_SHARED = 2 * 8192
#: How many residues are gathered at a time, so that they and those they are added to stay in the first-level cache.
PIECE = 512


# Eleven parameters, for the reason in the module's docstring.
@kernel
def add_switched(
    team: int, total: Array, fresh: bool, digits: Array, key: Array, specials: int, carried: Array, factors: Array,
    order: NDArray[np.uint32], moduli: Array, scratch: Array,
) -> None:  # fmt: skip
    """total (2, rows, N) += (sum over digits of digit * key) + carried * factors, rotated. rows: level + specials.

    digits: (digits, rows, N). key: (digits or more, 2, rows or more, N), of this level or a higher one, with the rows
    of the special primes last. carried: (parts, rows or fewer, N), the parts that are rotated without a key switch.
    factors: (rows,), P modulo each prime, or ones if carried is extended. order: (N,), the rotation, by which place j
    of a row gets what lies at order[j]. scratch: (2 * threads, N).
    """
    rows = 2 * digits.shape[1]
    _switched_row(team, rows, (total, fresh, digits, key, specials, carried, factors, order, moduli, scratch))


@shared
@kernel
def _switched_row(  # type: ignore[no-untyped-def]
    piece, worker, total, fresh, digits, key, specials, carried, factors, order, moduli, scratch
):
    rows, degree = digits.shape[1:]
    row_sum, gathered = scratch[2 * worker], scratch[2 * worker + 1, : min(degree, PIECE)]
    part, row = piece // rows, piece % rows
    which = row if row < rows - specials else key.shape[2] - rows + row
    prime, inverse = moduli[row, 0], moduli[row, 1]
    _sum_of_products(digits, key, part, row, which, row_sum, prime, inverse)
    if part < carried.shape[0] and row < carried.shape[1]:
        _scale_add_row(carried[part, row], factors[row], row_sum, prime, inverse)
    _add_row_from(row_sum, order, total[part, row], fresh, prime, inverse, gathered)


@kernel
def _sum_of_products(digits, key, part, row, which, result, prime, inverse):  # type: ignore[no-untyped-def]
    """result (N,) = the sum over all digits of the digit's row times the key's row, not reduced."""
    p, i = splat(prime), splat(inverse)
    for j in range(0, len(result), LANES):
        total = times(load(digits[0, row], j), load(key[0, part, which], j), p, i)
        for digit in range(1, len(digits)):
            total = total + times(load(digits[digit, row], j), load(key[digit, part, which], j), p, i)
            if digit % MAX_UNREDUCED == 0:
                total = reduced(total, p, i)
        store(result, j, total)


@kernel
def _multiply_row(left, right, result, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(result)):
        result[j] = times(left[j], right[j], prime, inverse)


@kernel
def _multiply_add_row(left, right, total, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(total)):
        total[j] = reduced(total[j] + times(left[j], right[j], prime, inverse), prime, inverse)


@kernel
def _scale_add_row(source, factor, total, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(total)):
        total[j] += times(source[j], factor, prime, inverse)


@kernel
def _add_row_from(source, order, total, fresh, prime, inverse, piece):  # type: ignore[no-untyped-def]
    """total[j] += source[order[j]], in pieces: gathering apart from the arithmetic, which then uses vector
    instructions."""
    size = len(piece)
    for start in range(0, len(total), size):
        places, target = order[start : start + size], total[start : start + size]
        for j in range(size):
            piece[j] = source[places[j]]
        if fresh:
            for j in range(size):
                target[j] = reduced(piece[j], prime, inverse)
        else:
            for j in range(size):
                target[j] = reduced(target[j] + piece[j], prime, inverse)


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
    p, i, target = splat(moduli[row, 0]), splat(moduli[row, 1]), total[part, row]
    for j in range(0, len(target), LANES):
        first = times(load(v0[part, row], j), load(c0[row], j), p, i)
        second = times(load(v1[part, row], j), load(c1[row], j), p, i)
        third = times(load(v2[part, row], j), load(c2[row], j), p, i)
        fourth = times(load(v3[part, row], j), load(c3[row], j), p, i)
        added = (first + second) + (third + fourth)
        if not fresh:
            added = added + load(target, j)
        store(target, j, reduced(added, p, i))


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
