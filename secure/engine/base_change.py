"""The operations that need transforms: digits of a key switch, and divisions by primes. Compiled by numba.

These are for one special prime and digits of one prime; `grouped` does the same for several. The digits are the
residues modulo each data prime, as in SEAL, but centred. That makes their noise a quarter of that of SEAL's digits,
which lie in [0, q). A team shares the rows as in `arithmetic`, which also derives the ranges of residues. Every kernel
works in two steps: an inverse transform gives the coefficients, which are then reduced modulo other primes and
transformed again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.compiled import inlined, kernel
from secure.engine.modular import reduced, times
from secure.engine.tables import Tables
from secure.engine.team import shared
from secure.engine.transform import backward, forward

Array = NDArray[np.float64]


@inlined
def _prime_index(row: int, level: int, t: Tables) -> int:
    """The index of the prime that a row of an extended value belongs to: data primes first, then the special prime."""
    return row if row < level else len(t.primes) - 1


@kernel
def digits_of(team: int, part: Array, digits: Array, scratch: Array, t: Tables) -> None:
    """Write the digits of a part, (level, N), to digits, (level, level + 1, N).

    Digit i is the part modulo data prime i. Its rows are this digit modulo every data prime that is left and modulo P,
    transformed.
    scratch: (level + threads, N), the coefficients of the digits, then one row for each worker.
    """
    level = len(part)
    _digit_back(team, level, (part, scratch, t))
    _digit_row(team, level * (level + 1), (part, digits, scratch, t))


@shared
@kernel
def _digit_back(digit, worker, part, scratch, t):  # type: ignore[no-untyped-def]
    scratch[digit] = part[digit]
    backward(scratch[digit], scratch[len(part) + worker], digit, t)


@shared
@kernel
def _digit_row(piece, worker, part, digits, scratch, t):  # type: ignore[no-untyped-def]
    level = len(part)
    digit, row = piece // (level + 1), piece % (level + 1)
    if row == digit:
        digits[digit, row] = part[digit]
        return
    _raised(scratch[digit], digits[digit, row], scratch[level + worker], _prime_index(row, level, t), t)


@kernel
def divide(team: int, value: Array, special: bool, result: Array, scratch: Array, t: Tables) -> None:
    """Divide by the prime of the last row and round: value (parts, rows, N) -> result (parts, rows - 1, N).

    special: whether the last row is that of P, and not that of a data prime. scratch: (parts + 2 * threads, N), the
    coefficients of the last rows, then two rows for each worker.
    """
    parts, rows, degree = value.shape
    last = len(t.primes) - 1 if special else rows - 1
    _last_back(team, parts, (value, last, scratch, t))
    _divided_row(team, parts * (rows - 1), (value, last, result, scratch, t))


@shared
@kernel
def _last_back(part, worker, value, last, scratch, t):  # type: ignore[no-untyped-def]
    parts, rows, degree = value.shape
    scratch[part] = value[part, rows - 1]
    backward(scratch[part], scratch[parts + 2 * worker], last, t)


@shared
@kernel
def _divided_row(piece, worker, value, last, result, scratch, t):  # type: ignore[no-untyped-def]
    parts, rows, degree = result.shape
    part, row = piece // rows, piece % rows
    own, target = scratch[parts + 2 * worker], scratch[parts + 2 * worker + 1]
    _raised(scratch[part], target, own, row, t)
    _scaled_difference(value[part, row], target, t.prime_inverse[row, last], result[part, row], row, t)


@kernel
def _scaled_difference(source, remainder, factor, quotient, which, t):  # type: ignore[no-untyped-def]
    prime, inverse = t.primes[which], t.inverses[which]
    for j in range(len(quotient)):
        quotient[j] = times(source[j] - remainder[j], factor, prime, inverse)


@kernel
def divide_jointly(team: int, value: Array, result: Array, scratch: Array, t: Tables) -> None:
    """Divide by P and the last data prime q at once: extended value (2, level + 1, N) -> result (2, level - 1, N).

    The remainder modulo P q is r + P s. Here r is the value modulo P, and s is (value - r) / P modulo q, both centred.
    scratch: (4 * threads, N).
    """
    _jointly_divided_part(team, 2, (value, result, scratch, t))


@shared
@kernel
def _jointly_divided_part(part, worker, value, result, scratch, t):  # type: ignore[no-untyped-def]
    level, degree = value.shape[1] - 1, value.shape[2]
    special, last = len(t.primes) - 1, level - 1
    own, low, high, target = (
        scratch[4 * worker],
        scratch[4 * worker + 1],
        scratch[4 * worker + 2],
        scratch[4 * worker + 3],
    )
    low[:], high[:] = value[part, level], value[part, last]
    backward(low, own, special, t)
    backward(high, own, last, t)
    prime, inverse, factor = t.primes[last], t.inverses[last], t.prime_inverse[last, special]
    for j in range(degree):
        difference = high[j] - reduced(low[j], prime, inverse)
        high[j] = reduced(times(difference, factor, prime, inverse), prime, inverse)
    for row in range(last):
        prime, inverse, factor = t.primes[row], t.inverses[row], t.special[row]
        for j in range(degree):
            upper = times(reduced(high[j], prime, inverse), factor, prime, inverse)
            target[j] = reduced(reduced(low[j], prime, inverse) + upper, prime, inverse)
        forward(target, own, row, t)
        both = times(t.prime_inverse[row, special], t.prime_inverse[row, last], prime, inverse)
        _scaled_difference(value[part, row], target, both, result[part, row], row, t)


@kernel
def _raised(coefficients, target, scratch, which, t):  # type: ignore[no-untyped-def]
    """target (N,) = integer coefficients (N,), reduced modulo the prime with index `which` and transformed."""
    prime, inverse = t.primes[which], t.inverses[which]
    for j in range(len(target)):
        target[j] = reduced(coefficients[j], prime, inverse)
    forward(target, scratch, which, t)
