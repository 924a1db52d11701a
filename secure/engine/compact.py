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
    PARTS,
    ROWS,
    bytes_at,
    indices_at,
    moduli_at,
    numbers_at,
    residues_at,
    shorts_at,
)
from secure.engine.compiled import inlined, kernel
from secure.engine.modular import fma, reduced, times
from secure.engine.storages import LOW, Storage
from secure.engine.tables import Tables
from secure.engine.team import shared
from secure.engine.transform import forward_half
from secure.engine.vectors import LANES, in_reverse, load, load_integers, splat, store

#: Numbers of a tile. Those of four constants take 16 KB.
TILE = 512
#: The most constants of a call, and the rows of scratch that a worker needs: two for four half rows, one for tiles.
MOST_CONSTANTS, SCRATCH_ROWS = 4, 3


@inlined
def any_compact(places, at, count):  # type: ignore[no-untyped-def]
    """Whether one of the constants of an instruction with `count` products is not stored whole."""
    found = False
    for number in range(count):
        found = found or places[at[1 + count + number], PARTS] != Storage.WHOLE
    return found


@kernel
def add_products(
    team: int, places: NDArray[np.int64], at: NDArray[np.int64], count: int, fresh: bool, degree: int,
    scratch: NDArray[np.float64], t: Tables,
) -> None:  # fmt: skip
    """total += the sum of values times constants. at: the places of total, `count` values, as many constants, moduli.

    scratch: (SCRATCH_ROWS * threads, N).
    """
    _products_row(team, places[at[1 + count], ROWS], (places, at, count, fresh, degree, scratch, t))


@shared
@kernel
def _products_row(row, worker, places, at, count, fresh, degree, scratch, t):  # type: ignore[no-untyped-def]
    half, parts = degree // 2, places[at[1], PARTS]
    moduli = moduli_at(places, at[1 + 2 * count])
    prime, inverse = moduli[row, 0], moduli[row, 1]
    which = row if prime == t.primes[row] else len(t.primes) - places[at[1 + count], ROWS] + row
    halves = scratch[SCRATCH_ROWS * worker : SCRATCH_ROWS * worker + 2].reshape(MOST_CONSTANTS, half)
    tiles = scratch[SCRATCH_ROWS * worker + 2]
    for number in range(count):
        place = at[1 + count + number]
        if places[place, PARTS] >= Storage.SMALL:
            forward_half(shorts_at(places[place, ADDRESS], half + LANES), halves[number], tiles, which, t)
            if places[place, PARTS] == Storage.SMALL_LIFTED:
                _lift(halves[number], t.special[which], prime, inverse)
    for start in range(0, half, TILE):
        for number in range(count):
            tile = tiles[number * TILE : (number + 1) * TILE]
            _expand(places, at[1 + count + number], row, start, degree, halves[number], tile)
        for part in range(parts):
            if count == 1:
                _add_one(places, at, part, row, start, tiles, fresh, degree, prime, inverse)
            else:
                _add_four(places, at, part, row, start, tiles, fresh, degree, prime, inverse)
        mirrored = degree - start - TILE
        for number in range(count):
            place, tile = at[1 + count + number], tiles[number * TILE : (number + 1) * TILE]
            if places[place, PARTS] == Storage.WHOLE:
                _expand(places, place, row, mirrored, degree, halves[number], tile)
            else:
                _turn_round(tile)
        for part in range(parts):
            if count == 1:
                _add_one(places, at, part, row, mirrored, tiles, fresh, degree, prime, inverse)
            else:
                _add_four(places, at, part, row, mirrored, tiles, fresh, degree, prime, inverse)


@kernel
def _lift(values, factor, prime, inverse):  # type: ignore[no-untyped-def]
    for j in range(len(values)):
        values[j] = times(values[j], factor, prime, inverse)


@kernel
def _expand(places, place, row, start, degree, held, tile):  # type: ignore[no-untyped-def]
    """Write a constant's numbers from `start` on to the tile. held: the first half of the transformed row, of a small
    constant."""
    address, storage, half = places[place, ADDRESS], places[place, PARTS], degree // 2
    if storage == Storage.WHOLE:
        whole = numbers_at(address, (places[place, ROWS], degree))[row]
        for j in range(0, TILE, LANES):
            store(tile, j, load(whole, start + j))
    elif storage == Storage.PACKED:
        address += row * half * 5
        low, high = indices_at(address, half), bytes_at(address + 4 * half, half)
        for j in range(0, TILE, LANES):
            store(tile, j, fma(load_integers(high, start + j), splat(LOW), load_integers(low, start + j)))
    elif storage == Storage.PACKED_WIDE:
        address += row * half * 6
        low, wide = indices_at(address, half), shorts_at(address + 4 * half, half)
        for j in range(0, TILE, LANES):
            store(tile, j, fma(load_integers(wide, start + j), splat(LOW), load_integers(low, start + j)))
    else:
        for j in range(0, TILE, LANES):
            store(tile, j, load(held, start + j))


@kernel
def _turn_round(tile):  # type: ignore[no-untyped-def]
    """Reverse the numbers of a tile: the mirror image of what it held."""
    for j in range(0, TILE // 2, LANES):
        first, last = load(tile, j), load(tile, TILE - LANES - j)
        store(tile, j, in_reverse(last))
        store(tile, TILE - LANES - j, in_reverse(first))


@kernel
def _add_one(places, at, part, row, start, tiles, fresh, degree, prime, inverse):  # type: ignore[no-untyped-def]
    target, value = residues_at(places, at[0], degree)[part, row], residues_at(places, at[1], degree)[part, row]
    p, i = splat(prime), splat(inverse)
    for j in range(0, TILE, LANES):
        product = times(load(value, start + j), load(tiles, j), p, i)
        if fresh:
            store(target, start + j, product)
        else:
            store(target, start + j, reduced(load(target, start + j) + product, p, i))


@kernel
def _add_four(places, at, part, row, start, tiles, fresh, degree, prime, inverse):  # type: ignore[no-untyped-def]
    target = residues_at(places, at[0], degree)[part, row]
    v0, v1 = residues_at(places, at[1], degree)[part, row], residues_at(places, at[2], degree)[part, row]
    v2, v3 = residues_at(places, at[3], degree)[part, row], residues_at(places, at[4], degree)[part, row]
    p, i = splat(prime), splat(inverse)
    for j in range(0, TILE, LANES):
        place = start + j
        first, second = (
            times(load(v0, place), load(tiles, j), p, i),
            times(load(v1, place), load(tiles, TILE + j), p, i),
        )
        third = times(load(v2, place), load(tiles, 2 * TILE + j), p, i)
        fourth = times(load(v3, place), load(tiles, 3 * TILE + j), p, i)
        added = (first + second) + (third + fourth)
        if not fresh:
            added = added + load(target, place)
        store(target, place, reduced(added, p, i))
