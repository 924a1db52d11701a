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

Array = NDArray[np.float64]


def coefficients(slots: NDArray[Any]) -> Array:
    """The polynomial's coefficients, (..., N), of real or complex slots (..., N / 2): at scale 1 and not rounded.

    Every pair of conjugate roots has one of the form zeta^(4m + 1). Since zeta^(N / 2) = i, the value there is the sum
    over k < N / 2 of (c_k + i c_(k + N / 2)) zeta^k exp(4 pi i k m / N): a transform of half the length (derived). Real
    slots take a cosine transform.
    """
    half = slots.shape[-1]
    result = np.empty((*slots.shape[:-1], 2 * half))
    if not np.iscomplexobj(slots):
        low = real_coefficients(slots)
        result[..., :half], result[..., half] = low, 0
        result[..., half + 1 :] = -low[..., :0:-1]
        return result
    places, twist = _embedding(2 * half)
    values = np.empty(slots.shape, dtype=np.complex128)
    even = places % 2 == 0
    values[..., places[even] // 2] = slots[..., even]
    values[..., half - 1 - places[~even] // 2] = slots[..., ~even].conj()
    pairs = np.fft.fft(values) * (twist[:half].conj() / half)
    result[..., :half], result[..., half:] = pairs.real, pairs.imag
    return result


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
    """`encoding_error` for real slots, by a cosine transform of half the length (derived)."""
    scaled = scale * real_coefficients(slots)
    return _cosine_sum(np.rint(scaled) - scaled, 1 / scale)


def real_slots(polynomials: Array) -> Array:
    """(..., N / 2): the real parts of the slots of polynomials with real coefficients (..., N)."""
    half = polynomials.shape[-1] // 2
    folded = polynomials[..., :half].copy()
    folded[..., 1:] -= polynomials[..., :half:-1]
    folded[..., 1:] /= 2
    return _cosine_sum(folded, 1.0)


def complex_slots(polynomials: Array) -> NDArray[np.complex128]:
    """(..., N / 2): the slots of polynomials with real coefficients (..., N): the inverse of `coefficients`."""
    half = polynomials.shape[-1] // 2
    places, powers = _embedding(2 * half)
    values = np.fft.ifft((polynomials[..., :half] + 1j * polynomials[..., half:]) * (half * powers[:half]))
    even = places % 2 == 0
    result = np.empty(values.shape, dtype=np.complex128)
    result[..., even] = values[..., places[even] // 2]
    result[..., ~even] = values[..., half - 1 - places[~even] // 2].conj()
    return result


def _cosine_sum(halves: Array, factor: float) -> Array:
    """(..., N / 2): factor times the slots of polynomials with c_(N - k) = -c_k, of c_0 to c_(N / 2 - 1) (..., N / 2).

    The slot at zeta^(2m + 1) is c_0 + 2 sum over 0 < k < N / 2 of c_k cos(pi k (2m + 1) / N).
    """
    half = halves.shape[-1]
    order, twist = cosine_order(half), _twist(half)
    spectrum = np.empty((*halves.shape[:-1], half // 2 + 1), dtype=np.complex128)
    spectrum.real = halves[..., : half // 2 + 1]
    spectrum.imag[..., 0] = 0
    spectrum.imag[..., 1:] = -halves[..., : half // 2 - 1 : -1]
    spectrum *= twist.conj()
    return np.asarray(np.fft.irfft(spectrum, half)[..., order] * (half * factor))


def real_coefficients(slots: Array) -> Array:
    """(..., N / 2): c_0 to c_(N / 2 - 1) of real slots (..., N / 2), at scale 1.

    The others follow from c_(N - k) = -c_k. It is a cosine transform by a real Fourier transform of the same length
    (Makhoul, "A fast cosine transform in one and two dimensions", 1980). numpy's is used, since scipy.fft alone would
    take 12 MB of a server's memory.
    """
    half = slots.shape[-1]
    order, twist = cosine_order(half), _twist(half)
    values = np.empty_like(slots, dtype=np.float64)
    values[..., order] = slots
    spectrum = np.fft.rfft(values)
    spectrum *= twist / half
    result = np.empty_like(values)
    result[..., : half // 2 + 1] = spectrum.real
    result[..., half // 2 + 1 :] = -spectrum.imag[..., half // 2 - 1 : 0 : -1]
    return result


@lru_cache(maxsize=4)
def cosine_order(half: int) -> NDArray[np.int64]:
    """(N / 2,): where each of N / 2 real slots stands in the Fourier transform of `real_coefficients`.

    Values at even m ascending, then at odd m descending, m of the root zeta^(2m + 1) that gives the slot, m < N / 2.
    """
    places, _ = _embedding(2 * half)
    cosine = np.minimum(places, 2 * half - 1 - places)  # the conjugate root gives the same slot
    return np.where(cosine % 2 == 0, cosine // 2, half - 1 - cosine // 2)


@lru_cache(maxsize=4)
def _twist(half: int) -> NDArray[np.complex128]:
    """(N / 4 + 1,): exp(-i pi k / N), for N / 2 real slots."""
    return np.asarray(_embedding(2 * half)[1][: half // 2 + 1].conj())


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
