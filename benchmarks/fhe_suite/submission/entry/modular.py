"""Products modulo a prime of residues held as float64 whole numbers, by numpy.

Ranges (derived). Residues lie within q / 2, up to rounding. If q has at most 26 bits, products are below 2^53, so that
float64 is exact. With larger primes, products are computed modulo 2^64. The quotient, rounded in float64, is off by one
at most, so the rest lies within 3/2 q, and is right modulo 2^64, so it is right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Words = NDArray[np.uint64]

#: Bits of primes whose products float64 holds.
SHORT_BITS = 26


def reduce_(values: Array, prime: int) -> Array:
    """values minus the nearest multiples of the prime, in place."""
    quotients = values * (1 / prime)
    np.rint(quotients, out=quotients)
    quotients *= prime
    values -= quotients
    return values


def times(left: Array, right: Array, prime: int) -> Array:
    """left * right modulo the prime, centred; operands are within q / 2, up to rounding."""
    products = left * right
    if prime.bit_length() <= SHORT_BITS:
        return reduce_(products, prime)
    quotients = np.rint(products * (1 / prime)).astype(np.int64)
    rest = left.astype(np.int64) * right.astype(np.int64) - quotients * prime  # wraps, and so does its inverse
    return reduce_(rest.astype(np.float64), prime)


def centred(residues: Words, prime: int) -> Array:
    """Residues in [0, prime), as float64 within q / 2."""
    values = residues.astype(np.float64)
    values -= (values > prime // 2) * float(prime)
    return values


def number(value: int, prime: int) -> Array:
    """(1,): a whole number modulo the prime, centred."""
    return reduce_(np.array([value % prime], dtype=np.float64), prime)


def below_prime(values: Array, prime: int) -> Words:
    """Centred residues as whole numbers in [0, prime)."""
    signed = values.astype(np.int64)
    signed += (signed < 0) * np.int64(prime)
    return signed.view(np.uint64)
