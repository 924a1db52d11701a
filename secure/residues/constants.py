"""Integers of a plan modulo a prime, and how many columns of a matrix float64 multiplies and adds exactly.

Residues are centred: within q / 2. `secure.engine.modular.reduced` is exact, but the quotient that it rounds is itself
rounded, so its results lie within q / 2 + SLACK: a quotient below 2^53 / q is off by less than 2^-52 of itself, which
is less than 2 in units of the result, after multiplication by q (derived).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from secure.coded.plan import Linear

Array = NDArray[np.float64]

#: By how much a reduced residue may exceed half the prime.
SLACK = 2
#: Float64 holds every integer up to this one.
EXACT = 1 << 53
#: The largest primes that the kernels take. Up to 16 products of 0.6 q may be added before they are reduced: below
#: 2^4 q, which 2^53 bounds (`secure.engine.modular`).
MAX_PRIME_BITS = 49


def modulo(values: Array, prime: int) -> Array:
    """Whole numbers modulo a prime, centred: within (q - 1) / 2. Exact for every whole number that float64 holds."""
    rest = np.fmod(values, float(prime))
    half = (prime - 1) // 2
    return np.where(rest > half, rest - prime, np.where(rest < -half, rest + prime, rest))


def column_slices(layer: Linear, columns: int, prime: int) -> tuple[tuple[int, int], ...]:
    """Ranges of columns over which a row's products and what is carried into the range add up exactly.

    In each range (1 + sum of |codes| of a row) * (q / 2 + SLACK) is below 2^53: the sum starts at a reduced residue.
    As few ranges as there can be, since each but the last is as long as possible.
    Raises: PlanError when a single product may leave the exact range.
    """
    limit = EXACT // (prime // 2 + SLACK) - 1
    rows = np.repeat(np.arange(layer.features), np.diff(layer.starts))
    order = np.argsort(layer.columns, kind="stable")
    sorted_rows, sorted_columns = rows[order], layer.columns[order]
    sizes = np.abs(layer.codes.astype(np.int64))[order]
    if len(sizes) and sizes.max() > limit:
        raise PlanError(
            layer.layer,
            f"a code of {sizes.max()} times residues of a prime of {prime.bit_length()} bits leaves float64's exact "
            f"range of 53 bits; allowed: codes up to {limit}; use smaller primes or fewer bits per code",
        )
    firsts = np.searchsorted(sorted_columns, np.arange(columns + 1))
    if np.bincount(sorted_rows, weights=sizes, minlength=1).max(initial=0) <= limit:
        return ((0, columns),)
    slices, start, sums = [], 0, np.zeros(layer.features, dtype=np.int64)
    for column in range(columns):
        inside = slice(firsts[column], firsts[column + 1])
        sums[sorted_rows[inside]] += sizes[inside]
        if sums.max() > limit:
            slices.append((start, column))
            start = column
            sums[:] = 0
            sums[sorted_rows[inside]] = sizes[inside]
    return (*slices, (start, columns))
