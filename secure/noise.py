"""How much error each CKKS operation adds. Pure.

All variances are those of one slot before division by the scale, of the complex number unless a name says real. If
every coefficient has variance v, every slot has variance N v. The formulas are derived. Measurements agree with them
within 3 %, for key switches within 6 % on average over slots (docs/noise.md).
"""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray

from secure.params import ERROR_STD, Params

Array = NDArray[np.float64]

#: The predicted error in reports is this many standard deviations.
BOUND_SIGMAS = 6.0


def fresh_variance(degree: int) -> float:
    """Variance of a fresh ciphertext: the error of symmetric encryption plus the rounding of the encoder."""
    return degree * (ERROR_STD**2 + 1 / 12)


def fresh_real_variance(degree: int) -> float:
    """Variance of the real part of a slot of a fresh ciphertext.

    It is half of the encryption's variance, and all of the rounding's, since real slots have real rounding errors.
    """
    return degree * (ERROR_STD**2 / 2 + 1 / 12)


def encoding_variance(degree: int) -> float:
    """Variance that encoding a plaintext adds: its coefficients are rounded to integers."""
    return degree / 12


def rescale_variance(degree: int) -> float:
    """Variance that a rescale adds: it rounds both parts. The error of the second part is multiplied by the secret key,
    which is ternary with 2N/3 non-zeros."""
    return degree * (2 * degree / 3 + 1) / 12


def key_switch_variance(params: Params, level: int) -> float:
    """Variance that one rotation or relinearization at `level` adds under SEAL, averaged over slots.

    SEAL's digits are uniform on [0, q_i) and not centred, hence 1/3 and not 1/12. The first slots have far more noise
    than the average (`key_switch_slot_variance`).
    """
    return _key_switch(params, level, 1 / 3)


def centred_key_switch_variance(params: Params, level: int) -> float:
    """The same under the engine, whose digits are uniform on [-Q / 2, Q / 2), with Q the product of a digit's primes.
    All slots have the same noise."""
    return _key_switch(params, level, 1 / 12)


def planned_key_switch_variance(params: Params, level: int, *, under_seal: bool = False) -> float:
    """Variance of a key switch under the backend that runs plans with these primes: the engine, or SEAL if a prime is
    too large for it. under_seal: the larger one of SEAL in any case, for plans that either backend may run."""
    engine = params.fits_engine and not under_seal
    return (centred_key_switch_variance if engine else key_switch_variance)(params, level)


def planned_baby_variance(params: Params, level: int, *, under_seal: bool = False) -> float:
    """Variance of a baby step, the rotation of an input before its products, under the backend that runs the plan.

    under_seal: as of `planned_key_switch_variance`.

    The engine adds the products before it divides by the special prime, so its baby steps round nothing. SEAL divides
    after every rotation.
    """
    if under_seal or not params.fits_engine or params.special_prime is None:
        return planned_key_switch_variance(params, level, under_seal=under_seal)
    return centred_key_switch_variance(params, level) - rescale_variance(params.poly_modulus_degree)


def key_switch_slot_variance(params: Params, level: int, slot: int) -> float:
    """`key_switch_variance` in one slot j: 1/12 + 1 / (N |1 - zeta_j|^2) instead of 1/3, zeta_j = exp(i pi 3^j / N)."""
    degree = params.poly_modulus_degree
    angle = pi * pow(3, slot, 2 * degree) / degree
    return _key_switch(params, level, 1 / 12 + 1 / (degree * abs(1 - np.exp(1j * angle)) ** 2))


def _key_switch(params: Params, level: int, digit_variance: float) -> float:
    """Variance of one key switch; 0 without a special prime. digit_variance: mean square of a digit over the square of
    the product of its primes."""
    degree = params.poly_modulus_degree
    if params.special_prime is None:
        return 0.0
    ratios = params.switch_ratios[level]
    return degree * (degree * ERROR_STD**2 * digit_variance * ratios + (2 * degree / 3 + 1) / 12)


def predicted_disagreement(outputs: Array, sigmas: Array) -> float:
    """The expected share of images whose largest output changes under independent Gaussian errors.

    outputs: (outputs, images). sigmas: their standard deviations, of the same shape. Zero for one output.
    """
    return float(np.mean(changed_class_probabilities(outputs, np.zeros_like(outputs), sigmas)))


def changed_class_probabilities(outputs: Array, shifts: Array, sigmas: Array) -> Array:
    """For every image, the probability that another output is the largest under encryption, (images,) (derived).

    Output k gets the known error shifts[k] and an independent Gaussian one of deviation sigmas[k]. Output j overtakes
    the largest one, t, with the probability Phi(-margin / sqrt(sigma_t^2 + sigma_j^2)), the margin being the shifted
    output t minus the shifted output j. The sum over all j, at most 1, is an upper bound, close where it is small.
    outputs, shifts, sigmas: (outputs, images). Zero for one output.
    """
    from scipy.special import ndtr  # a server checks bundles by this file's other rules, without scipy

    if outputs.shape[0] < 2:
        return np.zeros(outputs.shape[1])
    top = outputs.argmax(axis=0)[None]
    shifted = outputs + shifts
    margins = np.take_along_axis(shifted, top, axis=0) - shifted
    spread = np.sqrt(np.take_along_axis(sigmas, top, axis=0) ** 2 + sigmas**2)
    overtaken = ndtr(-margins / np.maximum(spread, 1e-300))
    np.put_along_axis(overtaken, top, 0.0, axis=0)
    return np.asarray(np.minimum(overtaken.sum(axis=0), 1.0))
