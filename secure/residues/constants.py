"""Integers of a plan modulo a prime, and how many columns of a matrix float64 multiplies and adds exactly.

Residues are centred: within q / 2. `secure.engine.modular.reduced` is exact, but the quotient that it rounds is itself
rounded, so its results lie within q / 2 + SLACK: a quotient below 2^53 / q is off by less than 2^-52 of itself, which
is less than 2 in units of the result, after multiplication by q (derived).
"""

from __future__ import annotations

from math import log2

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from secure.coded.plan import BatchPlan, Linear

Array = NDArray[np.float64]

#: By how much a reduced residue may exceed half the prime.
SLACK = 2
#: Float64 holds every integer up to this one.
EXACT = 1 << 53
#: The largest primes that the kernels take.
MAX_PRIME_BITS = 49
#: What a product of two reduced residues is below, in units of the prime (`secure.engine.modular`).
PRODUCT = 0.6


def check_prime(plan: BatchPlan, prime: int) -> None:
    """Refuse primes for which products, or sums of products of many parts, may leave float64's exact range.

    A square of p parts adds at most p + 1 products and a constant before it reduces them.
    Raises: PlanError.
    """
    most = max(plan.parts[source] for step in plan.steps for source in step.sources)
    largest = min(MAX_PRIME_BITS, int(log2(EXACT / (PRODUCT * (most + 2)))))
    if prime.bit_length() > largest:
        raise PlanError(
            None,
            f"coeff_modulus: a prime has {prime.bit_length()} bits; products of {most} parts are exact with "
            f"{largest} at most; use smaller primes",
        )


def modulo(values: Array, prime: int) -> Array:
    """Whole numbers modulo a prime, centred: within (q - 1) / 2. Exact for every whole number that float64 holds."""
    rest = np.fmod(values, float(prime))
    half = (prime - 1) // 2
    return np.where(rest > half, rest - prime, np.where(rest < -half, rest + prime, rest))


def code_limit(layer: Linear, prime: int) -> int:
    """The largest sum of |codes| over which the products of a row, and what is carried into the sum, add up exactly.

    (1 + sum) * (q / 2 + SLACK) is below 2^53: the sum starts at a reduced residue.
    Raises: PlanError when a single code of the layer is larger.
    """
    limit = EXACT // (prime // 2 + SLACK) - 1
    largest = int(np.abs(layer.codes.astype(np.int64)).max(initial=0))
    if largest > limit:
        raise PlanError(
            layer.layer,
            f"a code of {largest} times residues of a prime of {prime.bit_length()} bits leaves float64's exact range "
            f"of 53 bits; allowed: codes up to {limit}; use smaller primes or fewer bits per code",
        )
    return limit


def row_sums(layer: Linear) -> NDArray[np.int64]:
    """(features,) the sum of |codes| of every row."""
    sums = np.concatenate([[0], np.cumsum(np.abs(layer.codes.astype(np.int64)))])
    return sums[layer.starts[1:]] - sums[layer.starts[:-1]]


def column_slices(layer: Linear, columns: int, limit: int) -> tuple[tuple[int, int], ...]:
    """Ranges of columns in which no row's sum of |codes| is above the limit, as few as there can be.

    limit: at least the largest |code|.
    """
    if row_sums(layer).max(initial=0) <= limit:
        return ((0, columns),)
    sums = np.zeros((columns + 1, layer.features), dtype=np.int64)
    np.add.at(sums, (layer.columns + 1, layer.rows), np.abs(layer.codes.astype(np.int64)))
    np.cumsum(sums, axis=0, out=sums)
    slices, start = [], 0
    while start < columns:
        over = np.any(sums[start:] - sums[start] > limit, axis=1)
        end = start + int(np.argmax(over)) - 1 if over.any() else columns
        slices.append((start, end))
        start = end
    return tuple(slices)
