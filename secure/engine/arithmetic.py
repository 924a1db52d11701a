"""What the evaluator does to whole ciphertexts: arrays (parts, level, N) of residues in the engine's order. Compiled by numba.

A key switch is SEAL's, with one special prime P: the digits are the residues modulo each data prime, centred here, which quarters
the noise of SEAL's digits from [0, q). It is cut into pieces so that rotations of one value share its digits (hoisting, Halevi and Shoup 2018)
and sums of switched values share the division by P ("extended" values, (2, level + 1, N), the row of P last).

Results go into arrays that the caller owns. moduli: (rows, 2), each row's prime and its inverse. Ranges (derived from the bounds in
`modular`): what is stored lies within 0.9 p, keys and constants within p / 2, so a product of the two lies within 0.67 p. Seven of
them and a stored value make 5.6 p, which is below the 8 p up to which a sum is exact and may be reduced.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.modular import inlined, kernel, reduced, times
from secure.engine.tables import Tables
from secure.engine.transform import backward, forward
from secure.engine.vectors import LANES, load, splat, store

Array = NDArray[np.float64]

#: Products of digits and keys that are added before their sum is reduced.
MAX_UNREDUCED = 6
#: Residues that are gathered at a time: they and what they are added to stay in the first cache.
PIECE = 512


@inlined
def _prime_index(row: int, level: int, t: Tables) -> int:
    """Which prime a row of an extended value belongs to: the data primes, then the special one."""
    return row if row < level else len(t.primes) - 1


@kernel
def digits_of(part: Array, digits: Array, scratch: Array, t: Tables) -> None:
    """digits (level, level + 1, N): the residues of a part (level, N) modulo each data prime, as values modulo every prime.

    scratch: (2, N).
    """
    level, degree = part.shape
    coefficients = scratch[1]
    for digit in range(level):
        coefficients[:] = part[digit]
        backward(coefficients, scratch[0], digit, t)
        for row in range(level + 1):
            target = digits[digit, row]
            if row == digit:
                target[:] = part[digit]
                continue
            which = _prime_index(row, level, t)
            prime, inverse = t.primes[which], t.inverses[which]
            for j in range(degree):
                target[j] = reduced(coefficients[j], prime, inverse)
            forward(target, scratch[0], which, t)


@kernel
def add_switched(
    total: Array, fresh: bool, digits: Array, key: Array, carried: Array, factors: Array, order: NDArray[np.uint32],
    moduli: Array, scratch: Array,
) -> None:  # fmt: skip
    """total (2, level + 1, N) += (digits * key + carried * factors), rearranged: row[j] = row[order[j]]; fresh: total is set instead.

    digits: (level, level + 1, N). key: (all levels, 2, all primes, N). carried: (parts, rows, N) with factors (rows,), what else is
    rearranged: the parts that are not switched, times P, or as they are where they are extended. scratch: (2, N).
    """
    level, rows, degree = digits.shape
    row_sum, piece = scratch[0], scratch[1, : min(degree, PIECE)]
    for part in range(2):
        for row in range(rows):
            which = row if row < level else key.shape[2] - 1
            prime, inverse = moduli[row, 0], moduli[row, 1]
            _sum_of_products(digits, key, part, row, which, row_sum, prime, inverse)
            if part < carried.shape[0] and row < carried.shape[1]:
                _scale_add_row(carried[part, row], factors[row], row_sum, prime, inverse)
            _add_row_from(row_sum, order, total[part, row], fresh, prime, inverse, piece)


@kernel
def _sum_of_products(digits, key, part, row, which, result, prime, inverse):  # type: ignore[no-untyped-def]
    """result (N,) = the sum of all digits' row times the key's, not reduced."""
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
    """total[j] += source[order[j]], gathered by the piece: apart from the arithmetic, which is then done by vectors."""
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


@kernel
def add_value(total: Array, fresh: bool, value: Array, moduli: Array) -> None:
    """total += value, or = value where it is fresh, for the parts and rows that the value has."""
    parts, rows, degree = value.shape
    for part in range(parts):
        for row in range(rows):
            prime, inverse = moduli[row, 0], moduli[row, 1]
            a, b = value[part, row], total[part, row]
            if fresh:
                b[:] = a
                continue
            for j in range(degree):
                b[j] = reduced(a[j] + b[j], prime, inverse)


@kernel
def add_scaled(total: Array, value: Array, factors: Array, moduli: Array) -> None:
    """total += value * factors, for the parts and rows that the value has. factors: (rows,)."""
    parts, rows, degree = value.shape
    for part in range(parts):
        for row in range(rows):
            prime, inverse, factor = moduli[row, 0], moduli[row, 1], factors[row]
            a, b = value[part, row], total[part, row]
            for j in range(degree):
                b[j] = reduced(b[j] + times(a[j], factor, prime, inverse), prime, inverse)


@kernel
def add_product(total: Array, fresh: bool, value: Array, plain: Array, moduli: Array) -> None:
    """total += value * plain, or = where it is fresh; plain: (rows, N), the first rows of both are multiplied."""
    for row in range(len(plain)):
        prime, inverse = moduli[row, 0], moduli[row, 1]
        for part in range(value.shape[0]):
            if fresh:
                _multiply_row(value[part, row], plain[row], total[part, row], prime, inverse)
            else:
                _multiply_add_row(value[part, row], plain[row], total[part, row], prime, inverse)


@kernel
def add_four_products(
    total: Array, fresh: bool, v0: Array, v1: Array, v2: Array, v3: Array, c0: Array, c1: Array, c2: Array, c3: Array,
    moduli: Array,
) -> None:  # fmt: skip
    """The same for four values and constants at once: most of what a product costs is its total read and written again."""
    for row in range(len(c0)):
        p, i = splat(moduli[row, 0]), splat(moduli[row, 1])
        for part in range(v0.shape[0]):
            target = total[part, row]
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
def divide(value: Array, special: bool, result: Array, scratch: Array, t: Tables) -> None:
    """Divided and rounded by the prime of the last row: (parts, rows, N) -> result (parts, rows - 1, N). scratch: (3, N)."""
    parts, rows, degree = value.shape
    last = len(t.primes) - 1 if special else rows - 1
    coefficients, target = scratch[1], scratch[2]
    for part in range(parts):
        coefficients[:] = value[part, rows - 1]
        backward(coefficients, scratch[0], last, t)
        for row in range(rows - 1):
            prime, inverse, factor = t.primes[row], t.inverses[row], t.prime_inverse[row, last]
            for j in range(degree):
                target[j] = reduced(coefficients[j], prime, inverse)
            forward(target, scratch[0], row, t)
            source, quotient = value[part, row], result[part, row]
            for j in range(degree):
                quotient[j] = times(source[j] - target[j], factor, prime, inverse)


@kernel
def divide_jointly(value: Array, result: Array, scratch: Array, t: Tables) -> None:
    """Divided and rounded by P and the last data prime q at once: extended (2, level + 1, N) -> result (2, level - 1, N).

    The remainder modulo P q is r + P s, with r the residue modulo P and s that of (value - r) / P modulo q, both centred. scratch: (4, N).
    """
    level, degree = value.shape[1] - 1, value.shape[2]
    special, last = len(t.primes) - 1, level - 1
    low, high, target = scratch[1], scratch[2], scratch[3]
    for part in range(2):
        low[:], high[:] = value[part, level], value[part, last]
        backward(low, scratch[0], special, t)
        backward(high, scratch[0], last, t)
        prime, inverse, factor = t.primes[last], t.inverses[last], t.prime_inverse[last, special]
        for j in range(degree):
            difference = high[j] - reduced(low[j], prime, inverse)
            high[j] = reduced(times(difference, factor, prime, inverse), prime, inverse)
        for row in range(last):
            prime, inverse, factor = t.primes[row], t.inverses[row], t.special[row]
            for j in range(degree):
                upper = times(reduced(high[j], prime, inverse), factor, prime, inverse)
                target[j] = reduced(reduced(low[j], prime, inverse) + upper, prime, inverse)
            forward(target, scratch[0], row, t)
            source, quotient = value[part, row], result[part, row]
            both = times(t.prime_inverse[row, special], t.prime_inverse[row, last], prime, inverse)
            for j in range(degree):
                quotient[j] = times(source[j] - target[j], both, prime, inverse)


@kernel
def square(value: Array, result: Array, moduli: Array) -> None:
    """result (3, level, N): c0^2, 2 c0 c1, c1^2."""
    level, degree = value.shape[1], value.shape[2]
    for row in range(level):
        prime, inverse = moduli[row, 0], moduli[row, 1]
        a, b = value[0, row], value[1, row]
        first, middle, last = result[0, row], result[1, row], result[2, row]
        for j in range(degree):
            first[j] = times(a[j], a[j], prime, inverse)
            middle[j] = reduced(2 * times(a[j], b[j], prime, inverse), prime, inverse)
            last[j] = times(b[j], b[j], prime, inverse)


@kernel
def scale(rows: Array, factors: Array, moduli: Array) -> None:
    """Every row (rows, N) times its factor, in place."""
    for row in range(len(rows)):
        prime, inverse, values = moduli[row, 0], moduli[row, 1], rows[row]
        for j in range(len(values)):
            values[j] = times(values[j], factors[row], prime, inverse)


@kernel
def transformed(rows: Array, special: bool, t: Tables) -> None:
    """Coefficients modulo each data prime, and modulo P in the last row if special, (rows, N), to values, in place: for plaintexts."""
    scratch = np.empty(rows.shape[1])
    for row in range(len(rows)):
        forward(rows[row], scratch, len(t.primes) - 1 if special and row == len(rows) - 1 else row, t)
