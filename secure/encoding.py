"""SEAL's encoder: the coefficients of a vector of slots, and the error that rounding them makes in the slots. Pure.

A plaintext's polynomial p has real coefficients with p(zeta_j) = slot j, zeta_j = exp(i pi 3^j / N). Rounding large
and irregular coefficients makes white errors, of variance N / 12 per slot. Other vectors behave differently. With few
non-zero slots, all N coefficients can lie far below one and round to zero; then the whole value is lost. So the errors
are computed, not assumed (derived).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.float64]


def coefficients(slots: NDArray[Any]) -> Array:
    """The polynomial's coefficients, (..., N), of real or complex slots (..., N / 2): at scale 1 and not rounded."""
    degree = 2 * slots.shape[-1]
    places, twist = _embedding(degree)
    values = np.zeros((*slots.shape[:-1], degree), dtype=np.complex128)
    values[..., places] = slots
    return np.asarray(2 / degree * (np.fft.fft(values) * twist.conj()).real)


def slot_derivatives(by_coefficient: NDArray[Any]) -> NDArray[np.complex128]:
    """The transpose of `coefficients`: derivatives by coefficients (..., N) to derivatives by slots (..., N / 2).

    A derivative d means: changing the slots by z changes the quantity by the real part of the sum of conj(d) z.
    """
    places, twist = _embedding(by_coefficient.shape[-1])
    return np.asarray(2 * np.fft.ifft(by_coefficient * twist)[..., places])


def encoding_error(slots: NDArray[Any], scale: float) -> NDArray[Any]:
    """The encoded minus the wanted value of every slot, (..., N / 2), if the slots are encoded at `scale`.

    Real slots have real errors, since their coefficients are antisymmetric before and after rounding. Complex slots
    have complex errors, with half of the variance in each part.
    """
    if not np.iscomplexobj(slots):
        return _real_error(slots, scale)
    degree = 2 * slots.shape[-1]
    places, twist = _embedding(degree)
    scaled = scale * coefficients(slots)
    residue = np.rint(scaled) - scaled
    return np.asarray(degree * np.fft.ifft(residue * twist)[..., places] / scale)


def _real_error(slots: Array, scale: float) -> Array:
    """`encoding_error` for real slots, by a cosine transform of half the length (derived).

    With c_(N - k) = -c_k the slot at zeta^(2m + 1) is c_0 + 2 sum over 0 < k < N / 2 of c_k cos(pi k (2m + 1) / N).
    """
    places, _ = _embedding(2 * slots.shape[-1])
    places = np.minimum(places, 2 * slots.shape[-1] - 1 - places)  # the conjugate root gives the same slot
    values = np.empty_like(slots, dtype=np.float64)
    values[..., places] = slots
    scaled = scale * fft.idct(values, type=3)
    return np.asarray(fft.dct(np.rint(scaled) - scaled, type=3)[..., places] / scale)


@lru_cache(maxsize=4)
def _embedding(degree: int) -> tuple[NDArray[np.int64], NDArray[np.complex128]]:
    """(places, powers), with zeta = exp(i pi / N).

    places (N / 2,): slot j is the value of the polynomial at zeta^(2 places[j] + 1). powers (N,): zeta^0 to
    zeta^(N - 1).
    """
    powers = np.empty(degree // 2, dtype=np.int64)
    power = 1
    for slot in range(degree // 2):
        powers[slot] = power
        power = power * 3 % (2 * degree)
    return (powers - 1) // 2, np.exp(1j * np.pi * np.arange(degree) / degree)
