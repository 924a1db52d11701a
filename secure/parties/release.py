"""release: decrypted values made safe to show to others; noise and rounding hide traces of the secret key (IND-CPA-D).

Results that stay with the key holder do not need this. A result that anybody else sees, the server included, does: an
observer who knows the exact input can learn the encryption's noise from it, and from many such answers the key (Li and
Micciancio, Eurocrypt 2021). The remedy here is noise flooding, then rounding. The user has to limit how many answers
one key gives. Publishing only the class leaks less than publishing scores, but it still leaks something.
"""

from __future__ import annotations

from math import inf
from numbers import Real
from random import SystemRandom

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compress.errors import ConfigError

#: log2 of the flooding noise's standard deviation over the predicted error bound.
DEFAULT_FLOOD_BITS = 8

#: More bits than this leave nothing of any answer.
MOST_FLOOD_BITS = 64


def release(
    values: ArrayLike, predicted_error: float, *, flood_bits: float = DEFAULT_FLOOD_BITS
) -> NDArray[np.float64]:
    """The values plus Gaussian noise of standard deviation 2^flood_bits * predicted_error, rounded to multiples of
    that.

    flood_bits: more bits cover more answers per key, but disturb every answer more. The statistical distance of one
    answer is of the order of 2^-flood_bits, so about 4^flood_bits answers are covered (derived). Large values may
    change the class.
    Raises: ConfigError.
    """
    exact = _numbers(values)
    if not isinstance(predicted_error, Real) or not 0 < predicted_error < inf:
        raise ConfigError("predicted_error", predicted_error, "a positive number (ClientSpec.predicted_logit_error)")
    if not isinstance(flood_bits, Real) or not 0 <= flood_bits <= MOST_FLOOD_BITS:
        raise ConfigError("flood_bits", flood_bits, f"0 to {MOST_FLOOD_BITS}")
    step = predicted_error * 2.0**flood_bits
    random = SystemRandom()  # an observer must not be able to predict it
    noise = np.array([random.gauss(0.0, step) for _ in range(exact.size)]).reshape(exact.shape)
    return np.asarray(np.round((exact + noise) / step) * step)


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    """Raises: ConfigError for what is no array of real numbers."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise ConfigError("values", type(values).__name__, "an array of numbers")
    return array.astype(np.float64)
