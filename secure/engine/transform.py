"""The number-theoretic transform and its inverse on float64 residues, in place of SEAL's. Compiled by numba.

Cooley-Tukey forward, Gentleman-Sande back, two stages to a pass. Ranges (derived): a pass of the forward transform reduces one
of four summands and adds products below 0.9 p to it, so nothing exceeds 4 p; the inverse reduces both sums.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.modular import inlined, kernel, reduced, times, times_known
from secure.engine.tables import Tables

Array = NDArray[np.float64]


@kernel
def forward(row: Array, scratch: Array, which: int, t: Tables) -> None:
    """Coefficients (N,) -> values in the engine's order, in place. scratch: (N,)."""
    degree, columns = len(row), t.columns
    rows = degree // columns
    prime, inverse = t.primes[which], t.inverses[which]
    w, wq = t.roots[which], t.roots_quotient[which]
    gap, groups = degree // 2, 1
    while gap > columns:
        half = gap // 2
        for group in range(groups):
            s, k = 2 * group * gap, groups + group
            _early_pair(
                row[s : s + half], row[s + half : s + gap], row[s + gap : s + gap + half], row[s + gap + half : s + 2 * gap],
                w[k], wq[k], w[2 * k], wq[2 * k], w[2 * k + 1], wq[2 * k + 1], prime, inverse,
            )  # fmt: skip
        groups *= 4
        gap //= 4
    if gap == columns:
        for group in range(groups):
            s, k = 2 * group * gap, groups + group
            _early_single(row[s : s + gap], row[s + gap : s + 2 * gap], w[k], wq[k], prime, inverse)
    _transpose(row, scratch, rows, columns)
    w, wq = t.late_roots[which], t.late_roots_quotient[which]
    gap, groups = columns // 2, 1
    while gap > 1:
        half = gap // 2
        for group in range(groups):
            k = (groups + group) * rows
            k0, k1 = 2 * k, 2 * k + rows
            for place in range(half):
                s = (2 * group * gap + place) * rows
                s1, s2, s3 = s + half * rows, s + gap * rows, s + (gap + half) * rows
                _late_pair(
                    scratch[s : s + rows], scratch[s1 : s1 + rows], scratch[s2 : s2 + rows], scratch[s3 : s3 + rows],
                    w[k : k + rows], wq[k : k + rows], w[k0 : k0 + rows], wq[k0 : k0 + rows],
                    w[k1 : k1 + rows], wq[k1 : k1 + rows], prime, inverse,
                )  # fmt: skip
        groups *= 4
        gap //= 4
    for place in range(degree):
        row[place] = reduced(scratch[place], prime, inverse)


@kernel
def backward(row: Array, scratch: Array, which: int, t: Tables) -> None:
    """Values in the engine's order (N,) -> coefficients, in place. scratch: (N,)."""
    degree, columns = len(row), t.columns
    rows = degree // columns
    prime, inverse = t.primes[which], t.inverses[which]
    w, wq = t.inverse_late_roots[which], t.inverse_late_roots_quotient[which]
    half, groups = 1, columns // 4
    while groups >= 1:
        gap = 2 * half
        for group in range(groups):
            k = (groups + group) * rows
            k0, k1 = 2 * k, 2 * k + rows
            for place in range(half):
                s = (2 * group * gap + place) * rows
                s1, s2, s3 = s + half * rows, s + gap * rows, s + (gap + half) * rows
                _late_pair_back(
                    row[s : s + rows], row[s1 : s1 + rows], row[s2 : s2 + rows], row[s3 : s3 + rows],
                    w[k : k + rows], wq[k : k + rows], w[k0 : k0 + rows], wq[k0 : k0 + rows],
                    w[k1 : k1 + rows], wq[k1 : k1 + rows], prime, inverse,
                )  # fmt: skip
        groups //= 4
        half *= 4
    _transpose(row, scratch, columns, rows)
    w, wq = t.inverse_roots[which], t.inverse_roots_quotient[which]
    half, groups = columns, rows // 4
    if _odd_stages(rows):
        groups = rows // 2
        for group in range(groups):
            s, k = 2 * group * half, groups + group
            _early_single_back(scratch[s : s + half], scratch[s + half : s + 2 * half], w[k], wq[k], prime, inverse)
        half, groups = 2 * columns, rows // 8
    while groups >= 1:
        gap = 2 * half
        for group in range(groups):
            s, k = 2 * group * gap, groups + group
            _early_pair_back(
                scratch[s : s + half], scratch[s + half : s + gap], scratch[s + gap : s + gap + half],
                scratch[s + gap + half : s + 2 * gap],
                w[k], wq[k], w[2 * k], wq[2 * k], w[2 * k + 1], wq[2 * k + 1], prime, inverse,
            )  # fmt: skip
        groups //= 4
        half *= 4
    size_inverse = t.size_inverse[which]
    for place in range(degree):
        row[place] = times(scratch[place], size_inverse, prime, inverse)


@inlined
def _odd_stages(rows: int) -> bool:
    """Whether a power of two is an odd one."""
    while rows >= 4:
        rows //= 4
    return rows == 2


@kernel
def _transpose(source: Array, target: Array, rows: int, columns: int) -> None:
    """source (rows, columns) -> target (columns, rows), eight by eight, flat both."""
    for start in range(0, rows, 8):
        for column in range(columns):
            for row in range(start, min(start + 8, rows)):
                target[column * rows + row] = source[row * columns + column]


@kernel
def _early_single(low, high, w, wq, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(low)):
        product = times_known(high[j], w, wq, prime)
        kept = reduced(low[j], prime, inverse)
        low[j], high[j] = kept + product, kept - product


@kernel
def _early_pair(a, b, c, d, w, wq, u, uq, v, vq, prime, inverse):  # type: ignore[no-untyped-def]
    """Two stages: (a, c) and (b, d) with w, then (a, b) with u and (c, d) with v."""
    for j in range(len(a)):
        c1 = times_known(c[j], w, wq, prime)
        d1 = times_known(d[j], w, wq, prime)
        a1 = reduced(a[j], prime, inverse)
        b1 = b[j]
        b2 = times_known(b1 + d1, u, uq, prime)
        d2 = times_known(b1 - d1, v, vq, prime)
        a[j], b[j] = a1 + c1 + b2, a1 + c1 - b2
        c[j], d[j] = a1 - c1 + d2, a1 - c1 - d2


@kernel
def _late_pair(a, b, c, d, w, wq, u, uq, v, vq, prime, inverse):  # type: ignore[no-untyped-def]
    """The same with a twiddle of its own for every place."""
    for j in range(len(a)):
        c1 = times_known(c[j], w[j], wq[j], prime)
        d1 = times_known(d[j], w[j], wq[j], prime)
        a1 = reduced(a[j], prime, inverse)
        b1 = b[j]
        b2 = times_known(b1 + d1, u[j], uq[j], prime)
        d2 = times_known(b1 - d1, v[j], vq[j], prime)
        a[j], b[j] = a1 + c1 + b2, a1 + c1 - b2
        c[j], d[j] = a1 - c1 + d2, a1 - c1 - d2


@kernel
def _early_single_back(low, high, w, wq, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(low)):
        total, difference = low[j] + high[j], low[j] - high[j]
        low[j] = reduced(total, prime, inverse)
        high[j] = times_known(difference, w, wq, prime)


@kernel
def _early_pair_back(a, b, c, d, w, wq, u, uq, v, vq, prime, inverse):  # type: ignore[no-untyped-def]
    """Two stages: (a, b) with u and (c, d) with v, then (a, c) and (b, d) with w."""
    for j in range(len(a)):
        a1, b1 = a[j] + b[j], times_known(a[j] - b[j], u, uq, prime)
        c1, d1 = c[j] + d[j], times_known(c[j] - d[j], v, vq, prime)
        a[j], c[j] = reduced(a1 + c1, prime, inverse), times_known(a1 - c1, w, wq, prime)
        b[j], d[j] = reduced(b1 + d1, prime, inverse), times_known(b1 - d1, w, wq, prime)


@kernel
def _late_pair_back(a, b, c, d, w, wq, u, uq, v, vq, prime, inverse):  # type: ignore[no-untyped-def]
    """The same with a twiddle of its own for every place."""
    for j in range(len(a)):
        a1, b1 = a[j] + b[j], times_known(a[j] - b[j], u[j], uq[j], prime)
        c1, d1 = c[j] + d[j], times_known(c[j] - d[j], v[j], vq[j], prime)
        a[j], c[j] = reduced(a1 + c1, prime, inverse), times_known(a1 - c1, w[j], wq[j], prime)
        b[j], d[j] = reduced(b1 + d1, prime, inverse), times_known(b1 - d1, w[j], wq[j], prime)
