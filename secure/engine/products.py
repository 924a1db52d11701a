"""The product of two ciphertexts, as arrays (parts, level, N) of residues in the engine's order. Compiled by numba.

Ranges (derived from the bounds in `modular`): stored residues lie within 0.9 p, so a product of two lies within 0.81 p
and the sum of two such products within 1.61 p, which is reduced.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.engine.compiled import kernel
from secure.engine.modular import reduced, times
from secure.engine.team import shared

Array = NDArray[np.float64]


@kernel
def multiply(team: int, left: Array, right: Array, result: Array, moduli: Array) -> None:
    """result (3, level, N) = (a0, a1) times (b0, b1): the parts a0 b0, a0 b1 + a1 b0 and a1 b1.

    moduli: (level, 2). Decrypted by 1, s and s^2, the parts give the product of what the factors decrypt to.
    """
    _multiplied_row(team, left.shape[1], (left, right, result, moduli))


@shared
@kernel
def _multiplied_row(row, worker, left, right, result, moduli):  # type: ignore[no-untyped-def]
    prime, inverse = moduli[row, 0], moduli[row, 1]
    a0, a1, b0, b1 = left[0, row], left[1, row], right[0, row], right[1, row]
    first, middle, last = result[0, row], result[1, row], result[2, row]
    for j in range(len(a0)):
        first[j] = times(a0[j], b0[j], prime, inverse)
        mixed = times(a0[j], b1[j], prime, inverse) + times(a1[j], b0[j], prime, inverse)
        middle[j] = reduced(mixed, prime, inverse)
        last[j] = times(a1[j], b1[j], prime, inverse)
