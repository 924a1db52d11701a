"""The number-theoretic transform and its inverse on float64 residues, instead of SEAL's. Compiled by numba.

Cooley-Tukey forward, Gentleman-Sande backward, two stages per pass. `_pair` and `_pair_back` take more than ten
parameters, since they work on values in registers: four residues, three twiddles with their quotients, and the modulus.

Ranges (derived, for primes up to 2^50): a product x w with a known twiddle lies within p / 2 + |x| / 8 (`modular`). A
forward pass reduces one of four summands: from values within B p it makes values within (1.5625 + 0.266 B) p, never
more than 2.2 p. A backward pass takes values within 2 p. A sum of two products, of differences within 4 p, is within 2
p again. So is a product of the difference of two sums, which is within 8 p. The sum of all four is reduced. 8 p is
below 2^53, where float64 holds every integer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.compiled import inlined, kernel
from secure.engine.modular import reduced, times, times_known
from secure.engine.tables import INVERSE_LATE_ROOTS, INVERSE_ROOTS, LATE_ROOTS, ROOTS, Tables
from secure.engine.vectors import LANES, in_reverse, load, load_integers, move_transposed, splat, store

Array = NDArray[np.float64]


@kernel
def forward(row: Array, scratch: Array, which: int, t: Tables) -> None:
    """Coefficients (N,) -> values in the engine's order, in place. scratch: at least a block of eight rows."""
    degree, columns = len(row), t.columns
    prime, inverse = t.primes[which], t.inverses[which]
    w, wq = t.twiddles[ROOTS, which], t.twiddles[ROOTS + 1, which]
    gap, groups = degree // 2, 1
    while gap > columns:
        half = gap // 2
        for group in range(groups):
            s, k = 2 * group * gap, groups + group
            _pairs(row, s, half, k, w, wq, prime, inverse)
        groups *= 4
        gap //= 4
    if gap == columns:
        for group in range(groups):
            s, k = 2 * group * gap, groups + group
            _singles(row, s, gap, w[k], wq[k], prime, inverse)
    _late_stages(row, scratch, which, t)


@kernel
def forward_half(small: NDArray[np.int16], row: Array, scratch: Array, which: int, t: Tables) -> None:
    """The coefficients of real slots, c_0 to c_(N / 2) -> the first half of their values in the engine's order.

    Real slots have c_(N - k) = -c_k, so their polynomial takes the same value at a root and at its inverse. The inverse
    of the root at place j is at place N - 1 - j, so the second half is the first one in reverse (derived).
    small: (N / 2 + LANES,), zeros from N / 2 on. row: (N / 2,). scratch: as for `forward`.
    """
    half, columns = len(row), t.columns
    prime, inverse = t.primes[which], t.inverses[which]
    w, wq = t.twiddles[ROOTS, which], t.twiddles[ROOTS + 1, which]
    p, w0, wq0 = splat(prime), splat(w[1]), splat(wq[1])
    for j in range(0, half, LANES):
        upper = in_reverse(load_integers(small, half - j - LANES + 1))
        store(row, j, load_integers(small, j) - times_known(upper, w0, wq0, p))
    gap, groups = half // 2, 2
    while gap > columns:
        for group in range(groups // 2):
            _pairs(row, 2 * group * gap, gap // 2, groups + group, w, wq, prime, inverse)
        groups *= 4
        gap //= 4
    if gap == columns:
        for group in range(groups // 2):
            _singles(row, 2 * group * gap, gap, w[groups + group], wq[groups + group], prime, inverse)
    _late_stages(row, scratch, which, t)


@kernel
def _late_stages(row, scratch, which, t):  # type: ignore[no-untyped-def]
    """The stages of `forward` and `forward_half` inside blocks of eight rows, which end in the engine's order."""
    degree, columns = len(row), t.columns
    prime, inverse = t.primes[which], t.inverses[which]
    w, wq = t.twiddles[LATE_ROOTS, which], t.twiddles[LATE_ROOTS + 1, which]
    p, i = splat(prime), splat(inverse)
    block = LANES * columns
    for start in range(0, degree, block):
        for column in range(0, columns, LANES):
            move_transposed(row, start + column, columns, scratch, column * LANES, LANES)
        gap, groups = columns // 2, 1
        while gap > 1:
            for group in range(groups):
                _late_pairs(scratch, 2 * group * gap, gap // 2, start, groups + group, w, wq, p, i)
            groups *= 4
            gap //= 4
        for place in range(0, block, LANES):
            store(row, start + place, reduced(load(scratch, place), p, i))


@kernel
def backward(row: Array, scratch: Array, which: int, t: Tables) -> None:
    """Values in the engine's order (N,) -> coefficients, in place. scratch: at least a block of eight rows."""
    degree, columns = len(row), t.columns
    rows = degree // columns
    prime, inverse = t.primes[which], t.inverses[which]
    w, wq = t.twiddles[INVERSE_LATE_ROOTS, which], t.twiddles[INVERSE_LATE_ROOTS + 1, which]
    p, i = splat(prime), splat(inverse)
    block = LANES * columns
    for start in range(0, degree, block):
        for place in range(0, block, LANES):
            store(scratch, place, load(row, start + place))
        half, groups = 1, columns // 4
        while groups >= 1:
            for group in range(groups):
                _late_pairs_back(scratch, 4 * group * half, half, start, groups + group, w, wq, p, i)
            groups //= 4
            half *= 4
        for column in range(0, columns, LANES):
            move_transposed(scratch, column * LANES, LANES, row, start + column, columns)
    w, wq = t.twiddles[INVERSE_ROOTS, which], t.twiddles[INVERSE_ROOTS + 1, which]
    half, groups = columns, rows // 4
    if _odd_stages(rows):
        groups = rows // 2
        for group in range(groups):
            s, k = 2 * group * half, groups + group
            _singles_back(row, s, half, w[k], wq[k], prime, inverse)
        half, groups = 2 * columns, rows // 8
    while groups >= 1:
        gap = 2 * half
        for group in range(groups):
            s, k = 2 * group * gap, groups + group
            _pairs_back(row, s, half, k, w, wq, prime, inverse)
        groups //= 4
        half *= 4
    size_inverse = splat(t.size_inverse[which])
    for place in range(0, degree, LANES):
        store(row, place, times(load(row, place), size_inverse, p, i))


@inlined
def _odd_stages(rows: int) -> bool:
    """Whether a power of two has an odd exponent."""
    while rows >= 4:
        rows //= 4
    return rows == 2


@inlined
def _pair(a, b, c, d, w, wq, u, uq, v, vq, p, i):  # type: ignore[no-untyped-def]
    """Two stages forward: (a, c) and (b, d) with w, then (a, b) with u and (c, d) with v."""
    c1 = times_known(c, w, wq, p)
    d1 = times_known(d, w, wq, p)
    a1 = reduced(a, p, i)
    b2 = times_known(b + d1, u, uq, p)
    d2 = times_known(b - d1, v, vq, p)
    a2, c2 = a1 + c1, a1 - c1
    return a2 + b2, a2 - b2, c2 + d2, c2 - d2


@inlined
def _pair_back(a, b, c, d, w, wq, u, uq, v, vq, p, i):  # type: ignore[no-untyped-def]
    """Two stages backward: (a, b) with u and (c, d) with v, then (a, c) and (b, d) with w."""
    a1, b1 = a + b, times_known(a - b, u, uq, p)
    c1, d1 = c + d, times_known(c - d, v, vq, p)
    return reduced(a1 + c1, p, i), b1 + d1, times_known(a1 - c1, w, wq, p), times_known(b1 - d1, w, wq, p)


@kernel
def _singles(row, s, gap, w, wq, prime, inverse):  # type: ignore[no-untyped-def]
    """One stage with the same twiddle for all residues."""
    p, i, w0, wq0 = splat(prime), splat(inverse), splat(w), splat(wq)
    for j in range(s, s + gap, LANES):
        product = times_known(load(row, j + gap), w0, wq0, p)
        kept = reduced(load(row, j), p, i)
        store(row, j, kept + product)
        store(row, j + gap, kept - product)


@kernel
def _singles_back(row, s, gap, w, wq, prime, inverse):  # type: ignore[no-untyped-def]
    p, i, w0, wq0 = splat(prime), splat(inverse), splat(w), splat(wq)
    for j in range(s, s + gap, LANES):
        low, high = load(row, j), load(row, j + gap)
        store(row, j, reduced(low + high, p, i))
        store(row, j + gap, times_known(low - high, w0, wq0, p))


@kernel
def _pairs(row, s, half, k, w, wq, prime, inverse):  # type: ignore[no-untyped-def]
    """Two stages on four runs of `half` residues from s on, with twiddles k, 2 k and 2 k + 1."""
    p, i = splat(prime), splat(inverse)
    w0, wq0, w1, wq1 = splat(w[k]), splat(wq[k]), splat(w[2 * k]), splat(wq[2 * k])
    w2, wq2 = splat(w[2 * k + 1]), splat(wq[2 * k + 1])
    for j in range(s, s + half, LANES):
        a, b, c, d = load(row, j), load(row, j + half), load(row, j + 2 * half), load(row, j + 3 * half)
        a, b, c, d = _pair(a, b, c, d, w0, wq0, w1, wq1, w2, wq2, p, i)
        store(row, j, a)
        store(row, j + half, b)
        store(row, j + 2 * half, c)
        store(row, j + 3 * half, d)


@kernel
def _pairs_back(row, s, half, k, w, wq, prime, inverse):  # type: ignore[no-untyped-def]
    p, i = splat(prime), splat(inverse)
    w0, wq0, w1, wq1 = splat(w[k]), splat(wq[k]), splat(w[2 * k]), splat(wq[2 * k])
    w2, wq2 = splat(w[2 * k + 1]), splat(wq[2 * k + 1])
    for j in range(s, s + half, LANES):
        a, b, c, d = load(row, j), load(row, j + half), load(row, j + 2 * half), load(row, j + 3 * half)
        a, b, c, d = _pair_back(a, b, c, d, w0, wq0, w1, wq1, w2, wq2, p, i)
        store(row, j, a)
        store(row, j + half, b)
        store(row, j + 2 * half, c)
        store(row, j + 3 * half, d)


@inlined
def _late_pairs(block, first, half, start, k, w, wq, p, i):  # type: ignore[no-untyped-def]
    """Two stages on four runs of `half` vectors from vector `first` on.

    Every lane has its own twiddles: k, 2 k and 2 k + 1 of the block.
    """
    at, step = start + k * LANES, half * LANES
    w0, wq0, at = load(w, at), load(wq, at), start + 2 * k * LANES
    w1, wq1, w2, wq2 = load(w, at), load(wq, at), load(w, at + LANES), load(wq, at + LANES)
    for j in range(first * LANES, first * LANES + step, LANES):
        a, b, c, d = load(block, j), load(block, j + step), load(block, j + 2 * step), load(block, j + 3 * step)
        a, b, c, d = _pair(a, b, c, d, w0, wq0, w1, wq1, w2, wq2, p, i)
        store(block, j, a)
        store(block, j + step, b)
        store(block, j + 2 * step, c)
        store(block, j + 3 * step, d)


@inlined
def _late_pairs_back(block, first, half, start, k, w, wq, p, i):  # type: ignore[no-untyped-def]
    at, step = start + k * LANES, half * LANES
    w0, wq0, at = load(w, at), load(wq, at), start + 2 * k * LANES
    w1, wq1, w2, wq2 = load(w, at), load(wq, at), load(w, at + LANES), load(wq, at + LANES)
    for j in range(first * LANES, first * LANES + step, LANES):
        a, b, c, d = load(block, j), load(block, j + step), load(block, j + 2 * step), load(block, j + 3 * step)
        a, b, c, d = _pair_back(a, b, c, d, w0, wq0, w1, wq1, w2, wq2, p, i)
        store(block, j, a)
        store(block, j + step, b)
        store(block, j + 2 * step, c)
        store(block, j + 3 * step, d)
