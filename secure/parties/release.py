"""What may leave the client: decrypted CKKS values carry a trace of the secret key (IND-CPA-D); noise and rounding hide it.

Results that stay with the key holder need none of this. A result shown to anybody else (the server included) does: an
observer who knows the exact input can otherwise learn the encryption's noise, and from many such answers the key (Li and
Micciancio, Eurocrypt 2021). The remedy here is noise flooding, then rounding. How many answers one key may give is the
user's to bound; publishing the class alone leaks less than any scores, but not nothing.
"""

from __future__ import annotations

from random import SystemRandom

import numpy as np
from numpy.typing import NDArray

from compress.errors import ConfigError

#: Standard deviation of the flooding noise over the predicted error bound, in bits.
DEFAULT_FLOOD_BITS = 8


def release(
    values: NDArray[np.float64], predicted_error: float, *, flood_bits: int = DEFAULT_FLOOD_BITS
) -> NDArray[np.float64]:
    """Values with Gaussian noise of 2^flood_bits times the predicted error, rounded to that step; the shape of the
    input.

    flood_bits trades utility against how many answers a key may give: the statistical distance of one answer shrinks
    with 2^-flood_bits, so of the order of 4^flood_bits answers stay covered (derived). Large values may change the
    class.
    Raises: ConfigError.
    """
    if predicted_error <= 0 or not np.isfinite(predicted_error):
        raise ConfigError("predicted_error", predicted_error, "a positive number (ClientSpec.predicted_logit_error)")
    if flood_bits < 0:
        raise ConfigError("flood_bits", flood_bits, "0 or more")
    step = predicted_error * 2.0**flood_bits
    random = SystemRandom()  # an observer must not be able to predict it
    noise = np.array([random.gauss(0.0, step) for _ in range(values.size)]).reshape(values.shape)
    return np.asarray(np.round((values + noise) / step) * step)
