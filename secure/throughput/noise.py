"""How much encryption disturbs one feature of one image. Pure.

A slot of a fresh ciphertext is off by e(zeta_j), e being the error polynomial (`secure.noise`). Its real part counts,
since all constants of a plan are real: half of the variance that complex errors have, all of that of the encoder's
rounding, whose slots are real.
"""

from __future__ import annotations

#: Variance of a coefficient of SEAL's error: the difference of two sums of 21 coins each.
COEFFICIENT_VARIANCE = 10.5
#: How much larger than the first-order effect the errors of an output may be, in the root mean square
#: (`secure.throughput.trial`). Bounds count on as much.
EXCESS = 1.15


def input_variance(degree: int, input_scale: float, bits_dropped: int) -> float:
    """Variance of an input feature under encryption, in its own units (derived).

    bits_dropped: low bits of the first part that are not sent. Rounding to multiples of 2^d is uniform in every
    coefficient.
    """
    dropped = 4.0**bits_dropped / 12 if bits_dropped else 0.0
    return degree * ((COEFFICIENT_VARIANCE + dropped) / 2 + 1 / 12) / input_scale**2
