"""What SEAL's encoder makes of a vector of slots: coefficients rounded to integers, and the error that leaves in the slots. Pure.

A plaintext's polynomial p has real coefficients with p(zeta_j) = slot j, zeta_j = exp(i pi 3^j / N). Rounding them is white
(variance N / 12 a slot) only when they are large and irregular: a vector with few non-zero slots has N coefficients far below
one, which all round to zero, and its whole value is lost. So errors are computed, not assumed (derived).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.float64]


def coefficients(slots: NDArray[Any]) -> Array:
    """The polynomial's N coefficients at scale 1, (..., N), of real or complex slots (..., N / 2)."""
    degree = 2 * slots.shape[-1]
    places, twist = _embedding(degree)
    values = np.zeros((*slots.shape[:-1], degree), dtype=np.complex128)
    values[..., places] = slots
    return np.asarray(2 / degree * (np.fft.fft(values) * twist.conj()).real)


def slot_derivatives(by_coefficient: NDArray[Any]) -> NDArray[np.complex128]:
    """The transpose of `coefficients`: derivatives by coefficients (..., N) as derivatives d by slots (..., N / 2): a change of the
    slots by z changes the quantity by the real part of the sum of conj(d) z."""
    places, twist = _embedding(by_coefficient.shape[-1])
    return np.asarray(2 * np.fft.ifft(by_coefficient * twist)[..., places])


def encoding_error(slots: NDArray[Any], scale: float) -> NDArray[Any]:
    """Encoded minus wanted value of every slot, (..., N / 2), for slots encoded at `scale`.

    Real for real slots: they make antisymmetric coefficients, and rounding keeps them so. Complex slots: half of the variance is
    in either part.
    """
    if not np.iscomplexobj(slots):
        return _real_error(slots, scale)
    degree = 2 * slots.shape[-1]
    places, twist = _embedding(degree)
    scaled = scale * coefficients(slots)
    residue = np.rint(scaled) - scaled
    return np.asarray(degree * np.fft.ifft(residue * twist)[..., places] / scale)


def _real_error(slots: Array, scale: float) -> Array:
    """The same for real slots: with c_(N - k) = -c_k the slot at zeta^(2m + 1) is c_0 + 2 sum over k < N / 2 of c_k cos(pi k (2m + 1) / N),
    a cosine transform of half the length (derived)."""
    places, _ = _embedding(2 * slots.shape[-1])
    places = np.minimum(places, 2 * slots.shape[-1] - 1 - places)  # a slot is the same at the conjugate root
    values = np.empty_like(slots, dtype=np.float64)
    values[..., places] = slots
    scaled = scale * fft.idct(values, type=3)
    return np.asarray(fft.dct(np.rint(scaled) - scaled, type=3)[..., places] / scale)


@lru_cache(maxsize=4)
def _embedding(degree: int) -> tuple[NDArray[np.int64], NDArray[np.complex128]]:
    """(place of slot j among the odd powers of the first root, (3^j mod 2N - 1) / 2; the root's powers 0 .. N - 1)."""
    powers = np.empty(degree // 2, dtype=np.int64)
    power = 1
    for slot in range(degree // 2):
        powers[slot] = power
        power = power * 3 % (2 * degree)
    return (powers - 1) // 2, np.exp(1j * np.pi * np.arange(degree) / degree)
