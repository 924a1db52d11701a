"""Constants for a ring's transforms and base conversions: the roots of unity that SEAL uses, and inverses.

A transform treats its N residues as a matrix of N / columns rows. The first half of its stages combines rows. Then
eight rows at a time, a block, are transposed, and the other stages combine columns inside the block. The result stays
in this order: residue `row * columns + column` of SEAL lies at `(row // 8 * columns + column) * 8 + row % 8` in the
engine.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compress.errors import BackendError
from secure.engine.buffers import Arena
from secure.params import ENGINE_PRIME_BITS, Params

Array = NDArray[np.float64]

#: Rows per block: as many as a vector has lanes.
BLOCK_ROWS = 8


#: Places in `Tables.twiddles`: of the stages before the transposition, of those after it (in the order of blocks), and
#: the same for the inverse transform. At the place after each are the quotients of these twiddles by the prime.
ROOTS, LATE_ROOTS, INVERSE_ROOTS, INVERSE_LATE_ROOTS = 0, 2, 4, 6


class Tables(NamedTuple):
    """Tables by prime: the data primes, then the special primes. Few arrays, since every call of a kernel unpacks each.

    twiddles: (8, primes, N). prime_inverse: (primes, primes), [j, k] is the inverse of prime k modulo prime j. special:
    (primes,), P modulo each prime.
    """

    columns: int
    primes: Array
    inverses: Array
    twiddles: Array
    size_inverse: Array
    prime_inverse: Array
    special: Array


def make_tables(params: Params) -> Tables:
    """Tables of a parameter set.

    Raises: BackendError for a prime of more than ENGINE_PRIME_BITS bits.
    """
    degree, primes = params.poly_modulus_degree, params.all_primes
    for prime in primes:
        if prime.bit_length() > ENGINE_PRIME_BITS:
            raise BackendError(
                f"coeff_modulus: {prime} has {prime.bit_length()} bits; the engine takes at most {ENGINE_PRIME_BITS}; "
                "run the bundle with the seal backend, or compile it again"
            )
    columns = transform_columns(degree)
    special = prod(params.special_primes)
    arena = Arena()
    by_prime = [_prime_roots(prime, degree, columns) for prime in primes]
    return Tables(
        columns,
        np.array(primes, dtype=np.float64),
        1.0 / np.array(primes, dtype=np.float64),
        arena.copy(np.stack([np.stack(arrays) for arrays in zip(*by_prime, strict=True)])),
        np.array([centred(pow(degree, -1, p), p) for p in primes], dtype=np.float64),
        np.array([[centred(pow(k, -1, p), p) if k != p else 0 for k in primes] for p in primes], dtype=np.float64),
        np.array([centred(special % p, p) for p in primes], dtype=np.float64),
    )


def transform_columns(degree: int) -> int:
    """Columns of the transform's matrix: a power of four, so that the late stages pair up."""
    return 64 if degree <= 16384 else 256


def engine_order(degree: int) -> NDArray[np.int64]:
    """SEAL's index of each place in the engine's order, (N,)."""
    columns = transform_columns(degree)
    return np.arange(degree).reshape(-1, BLOCK_ROWS, columns).transpose(0, 2, 1).ravel()


def bit_reversed(count: int) -> NDArray[np.int64]:
    """The numbers below a power of two with their bits in opposite order."""
    result = np.zeros(count, dtype=np.int64)
    for bit in range(count.bit_length() - 1):
        result |= ((np.arange(count) >> bit) & 1) << (count.bit_length() - 2 - bit)
    return result


def rotation_order(element: int, degree: int) -> NDArray[np.uint32]:
    """(N,): for each place of the engine's order, the place whose value X -> X**element moves there.

    SEAL's place i holds the value at psi**(2 bitrev(i) + 1). The automorphism moves the value at psi**(e k) to psi**k.
    """
    exponents = 2 * bit_reversed(degree) + 1
    place_of_exponent = np.empty(2 * degree, dtype=np.int64)
    place_of_exponent[exponents] = np.arange(degree)
    seal_source = place_of_exponent[exponents * element % (2 * degree)]
    order = engine_order(degree)
    engine_place = np.empty(degree, dtype=np.int64)
    engine_place[order] = np.arange(degree)
    return engine_place[seal_source[order]].astype(np.uint32)


def smallest_root(prime: int, degree: int) -> int:
    """The smallest primitive 2N-th root of unity modulo the prime: the one SEAL uses."""
    generator = 2
    while pow(root := pow(generator, (prime - 1) // (2 * degree), prime), degree, prime) != prime - 1:
        generator += 1
    square, smallest, power = root * root % prime, root, root
    for _ in range(degree - 1):
        power = power * square % prime
        smallest = min(smallest, power)
    return smallest


def _prime_roots(prime: int, degree: int, columns: int) -> tuple[Array, ...]:
    """Eight arrays (N,): early, late, inverse early and inverse late twiddles, each followed by its quotients."""
    root = smallest_root(prime, degree)
    result: list[Array] = []
    for base in (root, pow(root, -1, prime)):
        powers = [1] * degree
        for exponent in range(1, degree):
            powers[exponent] = powers[exponent - 1] * base % prime
        early = [centred(powers[place], prime) for place in bit_reversed(degree)]
        rows = degree // columns
        late = [0] * degree
        groups = 1
        while groups < columns:
            for group in range(groups):
                start = (groups + group) * rows
                late[start : start + rows] = early[rows * groups + group : 2 * rows * groups : groups]
            groups *= 2
        blocked = np.array(late, dtype=np.float64).reshape(columns, -1, BLOCK_ROWS).transpose(1, 0, 2).ravel()
        for twiddles in (np.array(early, dtype=np.float64), blocked):
            result += [twiddles, twiddles / prime]
    return tuple(result)


def centred(residue: int, prime: int) -> int:
    """The residue, given in [0, prime), that is nearest to 0."""
    return residue - prime if residue > prime // 2 else residue
