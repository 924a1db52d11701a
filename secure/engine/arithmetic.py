"""What the evaluator does to whole ciphertexts: arrays (parts, level, N) of residues in the engine's order. Compiled by numba.

A key switch is SEAL's, with one special prime P: the digits are the residues modulo each data prime, centred here, which quarters
the noise of SEAL's digits from [0, q). It is cut into pieces so that rotations of one value share its digits (hoisting, Halevi and Shoup 2018)
and sums of switched values share the division by P ("extended" values, (2, level + 1, N), the row of P last).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.modular import inlined, kernel, reduced, times
from secure.engine.tables import Tables
from secure.engine.transform import backward, forward

Array = NDArray[np.float64]

#: Products that may be added before their sum is reduced: seven halves of a prime stay exact, and below what a division may read.
MAX_UNREDUCED = 6


@inlined
def _prime_index(row: int, level: int, t: Tables) -> int:
    """Which prime a row of an extended value belongs to: the data primes, then the special one."""
    return row if row < level else len(t.primes) - 1


@kernel
def digits_of(part: Array, t: Tables) -> Array:
    """(level, level + 1, N): the residues of a part modulo each data prime, as values modulo every prime."""
    level, degree = part.shape
    result = np.empty((level, level + 1, degree))
    coefficients, scratch = np.empty(degree), np.empty(degree)
    for digit in range(level):
        coefficients[:] = part[digit]
        backward(coefficients, scratch, digit, t)
        for row in range(level + 1):
            target = result[digit, row]
            if row == digit:
                target[:] = part[digit]
                continue
            which = _prime_index(row, level, t)
            prime, inverse = t.primes[which], t.inverses[which]
            for j in range(degree):
                target[j] = reduced(coefficients[j], prime, inverse)
            forward(target, scratch, which, t)
    return result


@kernel
def switched(digits: Array, key: Array, t: Tables) -> Array:
    """(2, level + 1, N): the digits times a key (all levels, 2, all primes, N)."""
    level, rows, degree = digits.shape
    result = np.empty((2, rows, degree))
    for part in range(2):
        for row in range(rows):
            which = _prime_index(row, level, t)
            prime, inverse = t.primes[which], t.inverses[which]
            total = result[part, row]
            _multiply_row(digits[0, row], key[0, part, which], total, prime, inverse)
            for digit in range(1, level):
                _multiply_add_row(digits[digit, row], key[digit, part, which], total, prime, inverse)
    return result


@kernel
def _multiply_row(left, right, result, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(result)):
        result[j] = times(left[j], right[j], prime, inverse)


@kernel
def _multiply_add_row(left, right, total, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(total)):
        total[j] = reduced(total[j] + times(left[j], right[j], prime, inverse), prime, inverse)


@kernel
def add_extended_part(extended: Array, value: Array, parts: int, t: Tables) -> None:
    """extended += P * value, for the first `parts` parts of value (parts, level, N); in place."""
    level, degree = value.shape[1], value.shape[2]
    for part in range(parts):
        for row in range(level):
            prime, inverse, special = t.primes[row], t.inverses[row], t.special[row]
            total, source = extended[part, row], value[part, row]
            for j in range(degree):
                total[j] = reduced(total[j] + times(source[j], special, prime, inverse), prime, inverse)


@kernel
def permuted(value: Array, order: NDArray[np.int32]) -> Array:
    """Every row rearranged: result[..., j] = value[..., order[j]]."""
    parts, rows, degree = value.shape
    result = np.empty_like(value)
    for part in range(parts):
        for row in range(rows):
            source, target = value[part, row], result[part, row]
            for j in range(degree):
                target[j] = source[order[j]]
    return result


@kernel
def divided(value: Array, special: bool, t: Tables) -> Array:
    """Divided and rounded by the prime of the last row: (parts, rows, N) -> (parts, rows - 1, N)."""
    parts, rows, degree = value.shape
    last = len(t.primes) - 1 if special else rows - 1
    result = np.empty((parts, rows - 1, degree))
    coefficients, scratch = np.empty(degree), np.empty(degree)
    for part in range(parts):
        coefficients[:] = value[part, rows - 1]
        backward(coefficients, scratch, last, t)
        for row in range(rows - 1):
            target = result[part, row]
            prime, inverse, factor = t.primes[row], t.inverses[row], t.prime_inverse[row, last]
            for j in range(degree):
                target[j] = reduced(coefficients[j], prime, inverse)
            forward(target, scratch, row, t)
            source = value[part, row]
            for j in range(degree):
                target[j] = times(source[j] - target[j], factor, prime, inverse)
    return result


@kernel
def added(left: Array, right: Array, special: bool, t: Tables) -> Array:
    """left + right, row by row; with `special` the last row is that of P."""
    parts, rows, degree = left.shape
    result = np.empty_like(left)
    for row in range(rows):
        which = len(t.primes) - 1 if special and row == rows - 1 else row
        prime, inverse = t.primes[which], t.inverses[which]
        for part in range(parts):
            a, b, total = left[part, row], right[part, row], result[part, row]
            for j in range(degree):
                total[j] = reduced(a[j] + b[j], prime, inverse)
    return result


@kernel
def multiplied(value: Array, plain: Array, t: Tables) -> Array:
    """Every part times a plaintext (level, N)."""
    parts, level, degree = value.shape
    result = np.empty_like(value)
    for row in range(level):
        prime, inverse = t.primes[row], t.inverses[row]
        for part in range(parts):
            _multiply_row(value[part, row], plain[row], result[part, row], prime, inverse)
    return result


@kernel
def add_product(total: Array, value: Array, plain: Array, reduce: bool, t: Tables) -> None:
    """total += value * plaintext, in place; not reduced unless asked, which must be at every MAX_UNREDUCED-th product at least."""
    parts, level, degree = value.shape
    for row in range(level):
        prime, inverse = t.primes[row], t.inverses[row]
        for part in range(parts):
            if reduce:
                _multiply_add_row(value[part, row], plain[row], total[part, row], prime, inverse)
            else:
                _multiply_add_row_unreduced(value[part, row], plain[row], total[part, row], prime, inverse)


@kernel
def _multiply_add_row_unreduced(left, right, total, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(total)):
        total[j] += times(left[j], right[j], prime, inverse)


@kernel
def squared(value: Array, t: Tables) -> Array:
    """(3, level, N): c0^2, 2 c0 c1, c1^2."""
    level, degree = value.shape[1], value.shape[2]
    result = np.empty((3, level, degree))
    for row in range(level):
        prime, inverse = t.primes[row], t.inverses[row]
        a, b = value[0, row], value[1, row]
        for j in range(degree):
            result[0, row, j] = times(a[j], a[j], prime, inverse)
            result[1, row, j] = times(2 * a[j], b[j], prime, inverse)
            result[2, row, j] = times(b[j], b[j], prime, inverse)
    return result


@kernel
def transformed(rows: Array, t: Tables) -> None:
    """Coefficients modulo each data prime (level, N) to values, in place: for plaintexts."""
    scratch = np.empty(rows.shape[1])
    for row in range(len(rows)):
        forward(rows[row], scratch, row, t)
