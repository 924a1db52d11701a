"""Digits of several primes, and divisions by several primes at once: hybrid key switching. Compiled by numba.

Hybrid key switching (Han and Ki, "Better bootstrapping for approximate homomorphic encryption", 2020) takes a value
apart into fewer digits, each the centred residue modulo a group of data primes, and has as many special primes as a
digit has primes. A switch then needs fewer transforms and fewer products with keys, which are smaller too.
`secure.engine.bases` has the conversions. A team shares the rows as in `arithmetic`.

Ranges (derived): |y_j| is at most 0.6 q_j, and each of at most four products with Q / q_j within 0.57 p (`modular`: the
factor y_j may be 2^49 where p has 36 bits, but the quotient is then below 2^49 and off by less than 2^-3). |v| is at
most 3, and v Q within 1.5 p. So a sum lies within 3.8 p, which `forward` takes as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.bases import Bases
from secure.engine.compiled import kernel
from secure.engine.modular import fma, reduced, rint, times
from secure.engine.tables import Tables
from secure.engine.team import shared
from secure.engine.transform import backward, forward
from secure.engine.vectors import LANES, load, splat, store

Array = NDArray[np.float64]


@kernel
def take_apart(team: int, part: Array, digits: Array, scratch: Array, t: Tables, b: Bases) -> None:
    """Write the digits of a part, (level, N), to digits, (digits, level + specials, N), transformed.

    scratch: (level + threads, N), the coefficients y_j of the part, then one row for each worker.
    """
    _weighted_back(team, len(part), (part, scratch, t, b))
    _digit_row(team, digits.shape[0] * digits.shape[1], (part, digits, scratch, t, b))


@shared
@kernel
def _weighted_back(row, worker, part, scratch, t, b):  # type: ignore[no-untyped-def]
    level = len(part)
    start, end = b.starts[b.digit_of[row]], min(b.starts[b.digit_of[row] + 1], level)
    _weighted(part[row], b.weights[end - 1, row - start], scratch[row], row, t)
    backward(scratch[row], scratch[level + worker], row, t)


@kernel
def _weighted(source, weight, target, which, t):  # type: ignore[no-untyped-def]
    prime, inverse = t.primes[which], t.inverses[which]
    for j in range(len(target)):
        target[j] = times(source[j], weight, prime, inverse)


@shared
@kernel
def _digit_row(piece, worker, part, digits, scratch, t, b):  # type: ignore[no-untyped-def]
    level, rows = len(part), digits.shape[1]
    digit, row = piece // rows, piece % rows
    start, end = b.starts[digit], min(b.starts[digit + 1], level)
    target = digits[digit, row]
    if start <= row < end:
        target[:] = part[row]
        return
    which = row if row < level else b.levels + row - level
    _converted(scratch[start:end], end - 1, which, target, t, b)
    forward(target, scratch[level + worker], which, t)


@kernel
def divide_by_group(team: int, value: Array, result: Array, scratch: Array, t: Tables, b: Bases) -> None:
    """Divide by the primes of the rows that the result lacks, and round: value (parts, level + specials, N).

    These rows are the last ones: those of the special primes, or also that of the last data prime.
    scratch: (parts * rows that leave + 2 * threads, N), their coefficients y_j, then two rows for each worker.
    """
    parts, rows, left = value.shape[0], value.shape[1], result.shape[1]
    group = b.levels if rows - left == b.specials else b.levels + 1 + left
    _divisor_back(team, parts * (rows - left), (value, group, scratch, t, b))
    _quotient_row(team, parts * left, (value, group, result, scratch, t, b))


@shared
@kernel
def _divisor_back(piece, worker, value, group, scratch, t, b):  # type: ignore[no-untyped-def]
    size, rows = b.sizes[group], value.shape[1]
    part, member = piece // size, piece % size
    which = b.members[group, member]
    _weighted(value[part, rows - size + member], b.weights[group, member], scratch[piece], which, t)
    backward(scratch[piece], scratch[value.shape[0] * size + 2 * worker], which, t)


@shared
@kernel
def _quotient_row(piece, worker, value, group, result, scratch, t, b):  # type: ignore[no-untyped-def]
    parts, rows, degree = result.shape
    part, row, size = piece // rows, piece % rows, b.sizes[group]
    own, target = scratch[parts * size + 2 * worker], scratch[parts * size + 2 * worker + 1]
    _converted(scratch[part * size : (part + 1) * size], group, row, target, t, b)
    forward(target, own, row, t)
    prime, inverse, factor = t.primes[row], t.inverses[row], b.inverses[group, row]
    source, quotient = value[part, row], result[part, row]
    for j in range(degree):
        quotient[j] = times(source[j] - target[j], factor, prime, inverse)


@kernel
def _converted(weighted, group, which, target, t, b):  # type: ignore[no-untyped-def]
    """target (N,) = the value in the middle of 0 with these y_j (size, N), modulo the prime with index `which`."""
    p, i = splat(t.primes[which]), splat(t.inverses[which])
    members, factors, whole = b.members[group], b.factors[group, which], splat(b.wholes[group, which])
    size, y0, f0, i0 = len(weighted), weighted[0], splat(factors[0]), splat(t.inverses[members[0]])
    if size == 1:
        for j in range(0, len(target), LANES):
            store(target, j, reduced(load(y0, j), p, i))
        return
    y1, f1, i1 = weighted[1], splat(factors[1]), splat(t.inverses[members[1]])
    if size == 2:
        for j in range(0, len(target), LANES):
            a, c = load(y0, j), load(y1, j)
            v = rint(fma(a, i0, c * i1))
            store(target, j, fma(-v, whole, times(a, f0, p, i) + times(c, f1, p, i)))
        return
    y2, f2, i2 = weighted[2], splat(factors[2]), splat(t.inverses[members[2]])
    if size == 3:
        for j in range(0, len(target), LANES):
            a, c, d = load(y0, j), load(y1, j), load(y2, j)
            v = rint(fma(a, i0, fma(c, i1, d * i2)))
            total = times(a, f0, p, i) + times(c, f1, p, i) + times(d, f2, p, i)
            store(target, j, fma(-v, whole, total))
        return
    y3, f3, i3 = weighted[3], splat(factors[3]), splat(t.inverses[members[3]])
    for j in range(0, len(target), LANES):
        a, c, d, e = load(y0, j), load(y1, j), load(y2, j), load(y3, j)
        v = rint(fma(a, i0, fma(c, i1, fma(d, i2, e * i3))))
        total = times(a, f0, p, i) + times(c, f1, p, i) + times(d, f2, p, i) + times(e, f3, p, i)
        store(target, j, fma(-v, whole, total))
