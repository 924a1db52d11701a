"""How much error CKKS adds, per operation and through a whole draft. Pure.

All variances are of one slot, before dividing by the scale. A coefficient variance v gives a slot variance N v. Formulas: the
project's trials (derived, measured there within 3 %, key switch within 6 % on average over slots).
"""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from secure.params import ERROR_STD, Params

Array = NDArray[np.float64]

#: A bound at this many standard deviations is what reports call the predicted error.
BOUND_SIGMAS = 6.0


def fresh_variance(degree: int) -> float:
    """Symmetric encryption plus the rounding of the encoder."""
    return degree * (ERROR_STD**2 + 1 / 12)


def fresh_real_variance(degree: int) -> float:
    """The same of a slot's real part: half of the error's variance, but all of the rounding's, which is real for real slots."""
    return degree * (ERROR_STD**2 / 2 + 1 / 12)


def encoding_variance(degree: int) -> float:
    """Rounding a plaintext's coefficients to integers."""
    return degree / 12


def rescale_variance(degree: int) -> float:
    """Rounding after a division, times a ternary secret with 2N/3 non-zeros."""
    return degree * (2 * degree / 3 + 1) / 12


def key_switch_variance(params: Params, level: int) -> float:
    """One rotation or relinearization at `level` by SEAL, averaged over slots.

    SEAL's digits are uniform on [0, q_i), not centred, hence 1/3 and not 1/12; the first slots are far above the average
    (`key_switch_slot_variance`).
    """
    return _key_switch(params, level, 1 / 3)


def centred_key_switch_variance(params: Params, level: int) -> float:
    """The same with digits centred about zero, as the engine's are: uniform on [-q_i / 2, q_i / 2), alike in all slots."""
    return _key_switch(params, level, 1 / 12)


def planned_key_switch_variance(params: Params, level: int) -> float:
    """For the backend that runs plans with these primes: the engine where it can hold them, else SEAL."""
    return (centred_key_switch_variance if params.fits_engine else key_switch_variance)(params, level)


def planned_baby_variance(params: Params, level: int) -> float:
    """A rotated input that is only multiplied: the engine adds such products before it divides by the special prime, so that nothing is
    rounded; SEAL divides first."""
    if not params.fits_engine or params.special_prime is None:
        return planned_key_switch_variance(params, level)
    return centred_key_switch_variance(params, level) - rescale_variance(params.poly_modulus_degree)


def key_switch_slot_variance(params: Params, level: int, slot: int) -> float:
    """The same for one slot: 1/12 + 1 / (N |1 - zeta_j|^2) in place of 1/3, zeta_j = exp(i pi 3^j / N)."""
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
    """Expected share of images whose largest output changes, (outputs, images) both; independent Gaussian errors (derived).

    The runner-up decides: P = Phi(-margin / sqrt(sigma_1^2 + sigma_2^2)). Zero for a network with one output.
    """
    if outputs.shape[0] < 2:
        return 0.0
    order = np.argsort(outputs, axis=0)[-2:]
    top = np.take_along_axis(outputs, order, axis=0)
    spread = np.sqrt((np.take_along_axis(sigmas, order, axis=0) ** 2).sum(axis=0))
    return float(np.mean(ndtr(-(top[1] - top[0]) / np.maximum(spread, 1e-300))))
