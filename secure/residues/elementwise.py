"""Squares, products, sums and selections by feature, on chunks of positions. Compiled by numba.

All values of a chunk lie in one array, the workspace. A feature of a value is a row: its parts one after the other,
each `chunk` residues. Rows are `stride` apart. A place says where the first row starts. Loops are over vectors of
eight residues, so chunks are multiples of eight.

Ranges (derived): operands lie within q / 2 + 2, so products lie within 0.6 q (`secure.engine.modular`). Sums of up to
16 of them stay below 2^53 for primes of MAX_PRIME_BITS bits. Results are reduced.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.compiled import kernel
from secure.engine.modular import reduced, times
from secure.engine.vectors import LANES, load, splat, store

Array = NDArray[np.float64]


@kernel
def quadratic(
    work: Array, source: int, source_stride: int, target: int, target_stride: int,
    chunk: int, parts: int, factors: Array, prime: float, inverse: float,
) -> None:  # fmt: skip
    """factors[0] * x^2 + factors[1] * x + factors[2] by feature; 2 parts - 1 parts. factors: (3, features)."""
    p, i = splat(prime), splat(inverse)
    for feature in range(factors.shape[1]):
        square, linear, constant = factors[0, feature], factors[1, feature], factors[2, feature]
        for position in range(0, chunk, LANES):
            x = source + feature * source_stride + position
            y = target + feature * target_stride + position
            for part in range(2 * parts - 1):
                first = max(0, part - parts + 1)
                total = splat(0.0)
                for left in range(first, (part + 1) // 2):
                    total = total + times(load(work, x + left * chunk), load(work, x + (part - left) * chunk), p, i)
                total = total + total
                if part % 2 == 0:
                    middle = load(work, x + part // 2 * chunk)
                    total = total + times(middle, middle, p, i)
                if square != 1.0:
                    total = times(reduced(total, p, i), splat(square), p, i)
                if linear != 0.0 and part < parts:
                    total = total + times(load(work, x + part * chunk), splat(linear), p, i)
                if part == 0:
                    total = total + splat(constant)
                store(work, y + part * chunk, reduced(total, p, i))


@kernel
def product(
    work: Array, sources: NDArray[np.int64], target: int, target_stride: int,
    chunk: int, features: int, prime: float, inverse: float,
) -> None:  # fmt: skip
    """The product of two values by feature. sources: (2, 3), place, stride and parts of each."""
    p, i = splat(prime), splat(inverse)
    left_parts, right_parts = sources[0, 2], sources[1, 2]
    for feature in range(features):
        for position in range(0, chunk, LANES):
            x = sources[0, 0] + feature * sources[0, 1] + position
            y = sources[1, 0] + feature * sources[1, 1] + position
            z = target + feature * target_stride + position
            for part in range(left_parts + right_parts - 1):
                total = splat(0.0)
                for left in range(max(0, part - right_parts + 1), min(left_parts, part + 1)):
                    total = total + times(load(work, x + left * chunk), load(work, y + (part - left) * chunk), p, i)
                store(work, z + part * chunk, reduced(total, p, i))


@kernel
def weighted_sum(
    work: Array, sources: NDArray[np.int64], target: int, target_stride: int,
    chunk: int, parts: int, factors: Array, prime: float, inverse: float,
) -> None:  # fmt: skip
    """The sum of factors[source] * x over the sources, by feature. sources: (count, 3), place, stride and parts of
    each. parts: the most of them. factors: (count, features)."""
    p, i = splat(prime), splat(inverse)
    for feature in range(factors.shape[1]):
        for part in range(parts):
            for position in range(0, chunk, LANES):
                total = splat(0.0)
                for source in range(len(sources)):
                    if part < sources[source, 2]:
                        place = sources[source, 0] + feature * sources[source, 1] + part * chunk + position
                        factor = splat(factors[source, feature])
                        total = reduced(total + times(load(work, place), factor, p, i), p, i)
                store(work, target + feature * target_stride + part * chunk + position, total)


@kernel
def select(
    work: Array, rows: NDArray[np.int64], target: int, target_stride: int,
    chunk: int, parts: int, factors: Array, prime: float, inverse: float,
) -> None:  # fmt: skip
    """factors * chosen features. rows: (features, 2), the place and the parts of each chosen one; no parts give
    zero."""
    p, i = splat(prime), splat(inverse)
    for feature in range(len(rows)):
        factor = splat(factors[feature])
        for part in range(parts):
            for position in range(0, chunk, LANES):
                total = splat(0.0)
                if part < rows[feature, 1]:
                    x = load(work, rows[feature, 0] + part * chunk + position)
                    total = reduced(times(x, factor, p, i), p, i)
                store(work, target + feature * target_stride + part * chunk + position, total)


@kernel
def read_chunk(
    source: Array, first: int, degree: int, work: Array, stride: int, features: NDArray[np.int64], parts: int,
    chunk: int,
) -> None:  # fmt: skip
    """Positions from the first one on of some features of residues (all features, parts, degree), to the start of the
    workspace."""
    for row in range(len(features)):
        for part in range(parts):
            start = (features[row] * parts + part) * degree + first
            for position in range(0, chunk, LANES):
                store(work, row * stride + part * chunk + position, load(source, start + position))


# More than ten parameters, since kernels take plain arrays.
@kernel
def write_chunk(
    work: Array, place: int, stride: int, target: Array, first: int, degree: int, rows: int, parts: int, chunk: int,
    prime: float, inverse: float,
) -> None:  # fmt: skip
    """A value to positions from the first one on of residues (rows, parts, degree), within (q - 1) / 2.

    A reduced residue is reduced once more: its quotient is within 1 / 2 + 2 / q, where it is rounded correctly.
    """
    p, i = splat(prime), splat(inverse)
    for row in range(rows):
        for part in range(parts):
            for position in range(0, chunk, LANES):
                x = reduced(load(work, place + row * stride + part * chunk + position), p, i)
                store(target, (row * parts + part) * degree + first + position, x)


@kernel
def add_reduced(
    work: Array, source: int, target: int, stride: int, features: int, width: int,
    prime: float, inverse: float,
) -> None:  # fmt: skip
    """target = (target + source) modulo the prime, rows of `width` residues."""
    p, i = splat(prime), splat(inverse)
    for feature in range(features):
        for place in range(feature * stride, feature * stride + width, LANES):
            total = load(work, target + place) + load(work, source + place)
            store(work, target + place, reduced(total, p, i))


@kernel
def add_bias(
    work: Array, target: int, stride: int, chunk: int, parts: int, bias: Array,
    prime: float, inverse: float,
) -> None:  # fmt: skip
    """Add the bias to part 0 of every position, and reduce all parts. A constant's transform is that constant at
    every position."""
    p, i = splat(prime), splat(inverse)
    for feature in range(len(bias)):
        for part in range(parts):
            added = splat(bias[feature] if part == 0 else 0.0)
            start = target + feature * stride + part * chunk
            for place in range(start, start + chunk, LANES):
                store(work, place, reduced(load(work, place) + added, p, i))
