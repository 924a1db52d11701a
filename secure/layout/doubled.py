"""Values carried twice by one ciphertext: as its real part, and rotated as its imaginary part. Pure.

A value between layers is real, so half of its slots' numbers are unused. From a value y and a rotation by s, the
ciphertext z = y + i u rot_s(y) is made by one key switch, one product and one addition; u alternates between 1 and -1.
Then one product with a complex constant does the work of two diagonals whose rotations differ by s:

    Re((a - i b u_r) z_r) = a y_r + b y_(r + s)

y_r is the value rotated by r, u_r the signs rotated by r. A stage needs about half of the products and baby steps, and
the conjugate is added at its end, which takes the real part (ours).

The slots i u are those of the monomial X^(N / 2): slot j is the value at zeta^(3^j), and zeta^(N / 2) = i, so it is i
for even j and -i for odd j. This constant has one coefficient, so it is exact at scale 1 and uses up no level.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def signs(slots: int, rotation: int = 0) -> Array:
    """(slots,): the signs u rotated by `rotation`: 1 in slot 0 for even rotations, and alternating."""
    return np.asarray(1.0 - 2.0 * ((np.arange(slots) + rotation) % 2))


def monomial(slots: int) -> NDArray[np.complex128]:
    """(slots,): the slots of X^(N / 2)."""
    return np.asarray(1j * signs(slots))


def product_rotations(rotations: Collection[int], steps: int, slots: int) -> dict[int, int]:
    """For every rotation, that of the product which does its work: its own one, or the one that lies `steps` before.

    Rotations r, r + steps, r + 2 steps, ... are paired one after the other, so at most one of them stays alone.
    """
    held, result = {*rotations}, dict[int, int]()
    starts = sorted(rotation for rotation in held if (rotation - steps) % slots not in held)
    for start in [*starts, *sorted(held)]:  # a chain without a start goes round
        rotation = start
        while rotation in held and rotation not in result:
            result[rotation] = rotation
            second = (rotation + steps) % slots
            if second in held and second not in result:
                result[second] = rotation
            rotation = (second + steps) % slots if second in result else second
    return result
