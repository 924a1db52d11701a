"""How much error each CKKS operation adds. Pure.

All variances are those of one slot before division by the scale. A coefficient variance v gives a slot variance N v.
The formulas are derived. Measurements agree with them within 3 %, for key switches within 6 % on average over slots
(docs/noise.md).
"""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from secure.params import ERROR_STD, Params

Array = NDArray[np.float64]

#: Standard deviations of the bound that reports call the predicted error.
BOUND_SIGMAS = 6.0


def fresh_variance(degree: int) -> float:
    """A fresh ciphertext: symmetric encryption plus the rounding of the encoder."""
    return degree * (ERROR_STD**2 + 1 / 12)


def fresh_real_variance(degree: int) -> float:
    """The real part of a slot of a fresh ciphertext.

    It holds half of the encryption's variance, and all of the rounding's, since real slots have real rounding errors.
    """
    return degree * (ERROR_STD**2 / 2 + 1 / 12)


def encoding_variance(degree: int) -> float:
    """The encoding of a plaintext: its coefficients are rounded to integers."""
    return degree / 12


def rescale_variance(degree: int) -> float:
    """A rescale: the rounding error of both parts, the second one multiplied by a ternary secret with 2N/3
    non-zeros."""
    return degree * (2 * degree / 3 + 1) / 12


def key_switch_variance(params: Params, level: int) -> float:
    """One rotation or relinearization at `level` by SEAL, averaged over slots.

    SEAL's digits are uniform on [0, q_i) and not centred, hence 1/3 and not 1/12. The first slots have far more noise
    than the average (`key_switch_slot_variance`).
    """
    return _key_switch(params, level, 1 / 3)


def centred_key_switch_variance(params: Params, level: int) -> float:
    """The same under the engine, whose digits are uniform on [-q_i / 2, q_i / 2); all slots have the same noise."""
    return _key_switch(params, level, 1 / 12)


def planned_key_switch_variance(params: Params, level: int) -> float:
    """A key switch of the backend that runs plans with these primes: the engine if they fit it, else SEAL."""
    return (centred_key_switch_variance if params.fits_engine else key_switch_variance)(params, level)


def planned_baby_variance(params: Params, level: int) -> float:
    """The rotation of an input that is multiplied afterwards.

    The engine adds the products before it divides by the special prime, so this rotation rounds nothing. SEAL divides
    first.
    """
    if not params.fits_engine or params.special_prime is None:
        return planned_key_switch_variance(params, level)
    return centred_key_switch_variance(params, level) - rescale_variance(params.poly_modulus_degree)


def key_switch_slot_variance(params: Params, level: int, slot: int) -> float:
    """`key_switch_variance` in one slot j: 1/12 + 1 / (N |1 - zeta_j|^2) instead of 1/3, zeta_j = exp(i pi 3^j / N)."""
    degree = params.poly_modulus_degree
    angle = pi * pow(3, slot, 2 * degree) / degree
    return _key_switch(params, level, 1 / 12 + 1 / (degree * abs(1 - np.exp(1j * angle)) ** 2))


def _key_switch(params: Params, level: int, digit_variance: float) -> float:
    degree = params.poly_modulus_degree
    if params.special_prime is None:
        return 0.0
    ratios = sum((prime / params.special_prime) ** 2 for prime in params.data_primes[:level])
    return degree * (degree * ERROR_STD**2 * digit_variance * ratios + (2 * degree / 3 + 1) / 12)


def predicted_disagreement(outputs: Array, sigmas: Array) -> float:
    """Expected share of images whose largest output changes under independent Gaussian errors (derived).

    outputs, sigmas: (outputs, images). Only the second-largest output counts: P = Phi(-margin / sqrt(sigma_1^2 +
    sigma_2^2)). Zero for a network with one output.
    """
    if outputs.shape[0] < 2:
        return 0.0
    order = np.argsort(outputs, axis=0)[-2:]
    top = np.take_along_axis(outputs, order, axis=0)
    spread = np.sqrt((np.take_along_axis(sigmas, order, axis=0) ** 2).sum(axis=0))
    return float(np.mean(ndtr(-(top[1] - top[0]) / np.maximum(spread, 1e-300))))
