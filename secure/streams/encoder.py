"""The coefficients of real slots for eight features together, one in each lane of a vector. Compiled by numba.

It is `secure.encoding.real_coefficients`: a cosine transform of N / 2 slots by a Fourier transform of N / 4 complex
numbers, of even and odd places (Makhoul, "A fast cosine transform in one and two dimensions", 1980). Features stand
side by side in a row of images already, so nothing is transposed before the transform.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from secure.encoding import cosine_order
from secure.engine.modular import fma, rint
from secure.engine.tables import bit_reversed
from secure.engine.vectors import LANES, load, move_transposed, splat, store
from secure.streams.compiled import kernel

Array = NDArray[np.float64]


class CosineTables(NamedTuple):
    """Tables of a ring with n = N / 2 slots and m = n / 2.

    slots (n,): the slot at each place of the Fourier transform. places (m,): where number k of its result lies. roots
    (2, m): cosine and sine of -2 pi k / m. halves (2, m): of -2 pi k / n. twists (2, m + 1): of -pi k / N, over n.
    """

    slots: NDArray[np.int64]
    places: NDArray[np.int64]
    roots: Array
    halves: Array
    twists: Array


@lru_cache(maxsize=4)
def cosine_tables(degree: int) -> CosineTables:
    """The tables of a ring degree N."""
    count, half = degree // 2, degree // 4
    slots = np.empty(count, dtype=np.int64)
    slots[cosine_order(count)] = np.arange(count)

    def angles(turns: Array) -> Array:
        return np.stack([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)])

    numbers = np.arange(half + 1)
    return CosineTables(
        slots,
        bit_reversed(half),
        angles(numbers[:half] / half),
        angles(numbers[:half] / count),
        angles(numbers / 2 / degree) / count,
    )


@kernel
def encode(images, first, scale, scratch, result, t):  # type: ignore[no-untyped-def]
    """result (8, N / 2) = the first half of the coefficients of features first to first + 7, times scale, rounded.

    images (images, features): one image per slot; other slots, and features that do not exist, are zero. scratch
    (3, 8 N / 2).
    """
    count = result.shape[1]
    half = count // 2
    real, imaginary = scratch[0], scratch[1]
    _gather(images, first, t.slots, real, imaginary)
    length = half
    while length > 2:
        for start in range(0, half, length):
            _two_stages(real, imaginary, start, length // 4, half // length, t.roots)
        length //= 4
    if length == 2:
        for start in range(0, half, 2):
            _one_stage(real, imaginary, start)
    coefficients = scratch[2]
    _untangle(real, imaginary, scale, coefficients, t)
    flat = result.reshape(-1)
    for place in range(0, count, LANES):
        move_transposed(coefficients, place * LANES, LANES, flat, place, count)


@kernel
def _gather(images, first, slots, real, imaginary):  # type: ignore[no-untyped-def]
    """Eight features of every image, in the order of the transform: even places are real parts, odd ones imaginary."""
    count, features = images.shape
    flat, last = images.reshape(-1), features - first
    zero = splat(0.0)
    for place in range(len(slots)):
        slot, target = slots[place], (imaginary if place & 1 else real)
        start = (place >> 1) * LANES
        if slot >= count:
            store(target, start, zero)
        elif last >= LANES:
            store(target, start, load(flat, slot * features + first))
        else:
            for lane in range(LANES):
                target[start + lane] = images[slot, first + lane] if lane < last else 0.0


@kernel
def _two_stages(real, imaginary, start, quarter, step, roots):  # type: ignore[no-untyped-def]
    """Two stages of the Fourier transform of 4 `quarter` numbers from `start` on, decimating in frequency."""
    cosines, sines, gap = roots[0], roots[1], quarter * LANES
    for j in range(quarter):
        a = (start + j) * LANES
        b, c, d = a + gap, a + 2 * gap, a + 3 * gap
        ar, ai, br, bi = load(real, a), load(imaginary, a), load(real, b), load(imaginary, b)
        cr, ci, dr, di = load(real, c), load(imaginary, c), load(real, d), load(imaginary, d)
        sum_r, sum_i, other_r, other_i = ar + cr, ai + ci, br + dr, bi + di
        store(real, a, sum_r + other_r)
        store(imaginary, a, sum_i + other_i)
        sum_r, sum_i = sum_r - other_r, sum_i - other_i
        w, v = splat(cosines[2 * j * step]), splat(sines[2 * j * step])
        store(real, b, fma(sum_r, w, -(sum_i * v)))
        store(imaginary, b, fma(sum_r, v, sum_i * w))
        ar, ai, br, bi = ar - cr, ai - ci, br - dr, bi - di
        w, v = splat(cosines[j * step]), splat(sines[j * step])
        cr, ci = ar + bi, ai - br
        store(real, c, fma(cr, w, -(ci * v)))
        store(imaginary, c, fma(cr, v, ci * w))
        w, v = splat(cosines[3 * j * step]), splat(sines[3 * j * step])
        dr, di = ar - bi, ai + br
        store(real, d, fma(dr, w, -(di * v)))
        store(imaginary, d, fma(dr, v, di * w))


@kernel
def _one_stage(real, imaginary, start):  # type: ignore[no-untyped-def]
    """The last stage, of two numbers from `start` on."""
    a, b = start * LANES, (start + 1) * LANES
    ar, ai, br, bi = load(real, a), load(imaginary, a), load(real, b), load(imaginary, b)
    store(real, a, ar + br)
    store(imaginary, a, ai + bi)
    store(real, b, ar - br)
    store(imaginary, b, ai - bi)


@kernel
def _untangle(real, imaginary, scale, result, t):  # type: ignore[no-untyped-def]
    """result (8 n,): the cosine transform, from the Fourier transform of even and odd places (derived).

    With numbers Z_k, E = (Z_k + conj Z_(m - k)) / 2 and O = (Z_k - conj Z_(m - k)) / 2i are the transforms of the even
    and the odd places, and those of all places are E + w^k O and conj(E - w^k O) at m - k.
    """
    half = len(t.places)
    ar, ai = load(real, 0), load(imaginary, 0)
    store(result, 0, rint((ar + ai) * splat(scale * t.twists[0, 0])))
    store(result, half * LANES, rint((ar - ai) * splat(scale * t.twists[0, half])))
    for k in range(1, half // 2 + 1):
        a, b = t.places[k] * LANES, t.places[half - k] * LANES
        ar, ai, br, bi = load(real, a), load(imaginary, a), load(real, b), load(imaginary, b)
        even_r, even_i, odd_r, odd_i = ar + br, ai - bi, ai + bi, br - ar
        w, v = splat(t.halves[0, k]), splat(t.halves[1, k])
        turned_r, turned_i = fma(odd_r, w, -(odd_i * v)), fma(odd_r, v, odd_i * w)
        _twisted(even_r + turned_r, even_i + turned_i, k, 2 * half - k, scale / 2, result, t.twists)
        _twisted(even_r - turned_r, turned_i - even_i, half - k, half + k, scale / 2, result, t.twists)


@kernel
def _twisted(re, im, k, mirrored, scale, result, twists):  # type: ignore[no-untyped-def]
    """Coefficients k and n - k: real and negative imaginary part of a number of the transform, times a root."""
    w, v = splat(scale * twists[0, k]), splat(scale * twists[1, k])
    store(result, k * LANES, rint(fma(re, w, -(im * v))))
    store(result, mirrored * LANES, rint(-fma(re, v, im * w)))
