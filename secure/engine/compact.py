"""Products with constants that are stored compactly. Compiled by numba.

A piece of work is one row, of all parts. The row's constants are expanded tile by tile into the first-level cache. All
parts are multiplied with them there: at the places of the tile, and, once it is turned round, at those of its mirror
image in the second half of the row. The sums are those of `arithmetic.add_product` and `arithmetic.add_four_products`,
to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.addresses import (
    ADDRESS,
    ARRAYS,
    FLAG,
    KERNEL,
    PARTS,
    ROWS,
    moduli_at,
    numbers_at,
    residues_at,
    shorts_at,
)
from secure.engine.arithmetic import four_products
from secure.engine.compiled import inlined, kernel
from secure.engine.gathering import MOST_TRANSFORMED
from secure.engine.modular import reduced, times
from secure.engine.program import Kernel
from secure.engine.storages import TILE, Storage, expand, packed_place
from secure.engine.tables import Tables
from secure.engine.team import shared
from secure.engine.transform import forward_half
from secure.engine.vectors import LANES, in_reverse, load, splat, store

#: The most constants of an instruction.
MOST_CONSTANTS = 4


@inlined
def _products(instruction):  # type: ignore[no-untyped-def]
    """How many products an instruction adds."""
    return MOST_CONSTANTS if instruction[KERNEL] == Kernel.ADD_FOUR_PRODUCTS else 1


@inlined
def any_compact(places, instruction):  # type: ignore[no-untyped-def]
    """Whether one of the constants of an instruction is not stored whole."""
    return _least_compact(places, instruction) > Storage.WHOLE


@inlined
def _least_compact(places, instruction):  # type: ignore[no-untyped-def]
    """The storage with the largest number of an instruction's constants."""
    count, found = _products(instruction), 0
    for number in range(count):
        found = max(found, places[instruction[ARRAYS + 1 + count + number], PARTS])
    return found


@kernel
def add_products(
    team: int, places: NDArray[np.int64], code: NDArray[np.int64], first: int, end: int, degree: int,
    scratch: NDArray[np.float64], t: Tables,
) -> None:  # fmt: skip
    """total += the sum of values times constants, for instructions first to end - 1, which run together.

    scratch: (rows, N), for each thread half as many as there are small constants to transform, and one.
    """
    rows = places[code[first, ARRAYS + 1 + _products(code[first])], ROWS]
    _products_row(team, rows, (places, code, first, end, degree, scratch, t))


@shared
@kernel
def _products_row(row, worker, places, code, first, end, degree, scratch, t):  # type: ignore[no-untyped-def]
    rows = places[code[first, ARRAYS + 1 + _products(code[first])], ROWS]
    moduli = moduli_at(places, code[first, ARRAYS + 1 + 2 * _products(code[first])])
    prime, inverse = moduli[row, 0], moduli[row, 1]
    which = row if prime == t.primes[row] else len(t.primes) - rows + row
    most = MOST_TRANSFORMED if end > first + 1 else MOST_CONSTANTS
    packed = packed_place(row, moduli, degree)
    own = scratch[worker * (most // 2 + 1) : (worker + 1) * (most // 2 + 1)]
    halves, tiles, step = own[: most // 2].reshape(most, degree // 2), own[most // 2], first
    while step < end:
        after, held = step, 0
        while after < end and held + _smalls(places, code[after]) <= most:
            held = _transform_small(places, code[after], which, prime, inverse, halves, held, tiles, t)
            after += 1
        for start in range(0, degree // 2, TILE):
            held = 0
            for one in range(step, after):
                _add_tile(places, code[one], row, packed, start, degree, halves[held:], tiles, prime, inverse)
                held += _smalls(places, code[one])
        step = after


@inlined
def _smalls(places, instruction):  # type: ignore[no-untyped-def]
    """How many of the constants of an instruction are small."""
    count, found = _products(instruction), 0
    for number in range(count):
        found += places[instruction[ARRAYS + 1 + count + number], PARTS] >= Storage.SMALL
    return found


@kernel
def _transform_small(  # type: ignore[no-untyped-def]
    places, instruction, which, prime, inverse, halves, held, scratch, t
):
    """Write the first half of a row of every small constant of an instruction to halves (.., N / 2), from number `held`
    on. Returns how many are held then."""
    count, half = _products(instruction), halves.shape[1]
    for number in range(count):
        place = instruction[ARRAYS + 1 + count + number]
        if places[place, PARTS] >= Storage.SMALL:
            forward_half(shorts_at(places[place, ADDRESS], half + LANES), halves[held], scratch, which, t)
            if places[place, PARTS] == Storage.SMALL_LIFTED:
                _lift(halves[held], t.special[which], prime, inverse)
            held += 1
    return held


@kernel
def _add_tile(  # type: ignore[no-untyped-def]
    places, instruction, row, packed, start, degree, halves, tiles, prime, inverse
):
    """Add the products at the places of a tile and at those of its mirror image. packed: where the row of a packed
    constant starts. halves: of the small constants."""
    count, fresh, at, held = _products(instruction), instruction[FLAG] != 0, instruction[ARRAYS:], 0
    for number in range(count):
        place = at[1 + count + number]
        if places[place, PARTS] != Storage.WHOLE:
            if places[place, PARTS] == Storage.PACKED:
                expand(places[place, ADDRESS], packed, start, prime, _tile(tiles, number))
            else:
                _copy(halves[held], start, _tile(tiles, number))
                held += 1
    for mirrored in range(2):
        own = degree - start - TILE if mirrored else start
        if mirrored:
            for number in range(count):
                if places[at[1 + count + number], PARTS] != Storage.WHOLE:
                    _turn_round(_tile(tiles, number))
        c0 = _numbers(places, at[1 + count], row, own, degree, _tile(tiles, 0))
        for part in range(places[at[1], PARTS]):
            target, v0 = residues_at(places, at[0], degree)[part, row], residues_at(places, at[1], degree)[part, row]
            if count == 1:
                _add_one(target, fresh, v0, c0, own, prime, inverse)
            else:
                v1, v2 = residues_at(places, at[2], degree)[part, row], residues_at(places, at[3], degree)[part, row]
                v3 = residues_at(places, at[4], degree)[part, row]
                c1 = _numbers(places, at[2 + count], row, own, degree, _tile(tiles, 1))
                c2 = _numbers(places, at[3 + count], row, own, degree, _tile(tiles, 2))
                c3 = _numbers(places, at[4 + count], row, own, degree, _tile(tiles, 3))
                four_products(target, fresh, v0, v1, v2, v3, c0, c1, c2, c3, own, prime, inverse)


@inlined
def _tile(tiles, number):  # type: ignore[no-untyped-def]
    return tiles[number * TILE : (number + 1) * TILE]


@kernel
def _numbers(places, place, row, start, degree, tile):  # type: ignore[no-untyped-def]
    """A constant's numbers from `start` on: those of a whole one, or the tile that they were expanded to."""
    if places[place, PARTS] == Storage.WHOLE:
        return numbers_at(places[place, ADDRESS], (places[place, ROWS], degree))[row][start : start + TILE]
    return tile


@kernel
def _lift(values, factor, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(values)):
        values[j] = times(values[j], factor, prime, inverse)


@kernel
def _copy(source, start, tile):  # type: ignore[no-untyped-def]
    for j in range(0, TILE, LANES):
        store(tile, j, load(source, start + j))


@kernel
def _turn_round(tile):  # type: ignore[no-untyped-def]
    """Reverse the numbers of a tile: the mirror image of what it held."""
    for j in range(0, TILE // 2, LANES):
        first, last = load(tile, j), load(tile, TILE - LANES - j)
        store(tile, j, in_reverse(last))
        store(tile, TILE - LANES - j, in_reverse(first))


@kernel
def _add_one(target, fresh, value, constant, place, prime, inverse):  # type: ignore[no-untyped-def]
    p, i = splat(prime), splat(inverse)
    for j in range(0, TILE, LANES):
        product = times(load(value, place + j), load(constant, j), p, i)
        if fresh:
            store(target, place + j, product)
        else:
            store(target, place + j, reduced(load(target, place + j) + product, p, i))
