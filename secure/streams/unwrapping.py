"""Coefficients of answers that left the modulus, found and put right. Pure; for plans with random phases.

An answer of such a plan is a real number in every slot, times a phase that the client knows. So half of what N
coefficients could hold is known to be zero: the imaginary parts, once the phases are turned back. Coefficients that
wrapped around are off by whole multiples of the modulus q. They move real and imaginary parts alike, so the imaginary
parts tell where they are (derived).

Let P be the projection of polynomials onto those whose slots are imaginary times the phases. Then 2 P c / q of the
coefficients c is the sum of two things: what wrapped around, z + (2 P - 1) z with whole numbers z, and noise. The
entries of 2 P - 1 are random numbers of variance 1 / N, since phases are. So where few coefficients wrapped around,
each of them stands out as about 1 between much smaller numbers. The largest are taken away first, which makes the
others stand out more, until nothing is left that rounds to another number than zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.encoding import coefficients, complex_slots

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Numbers 2 P c / q beyond this are wraps. What is left at the end has to be smaller.
ROUNDED = 0.5
#: The most that may be left in the root mean square. Plans are made for noise of half of it at most
#: (`secure.throughput.magnitudes`). Wraps that were missed or made up would leave more, or some numbers near 1.
MOST_LEFT = 0.12
#: Wraps are taken away together that are at least this share of the largest one.
TOGETHER = 0.75
#: One round serves in most blocks, and seven where 5 % of all coefficients wrapped around.
ROUNDS = 32
#: Answers that are worked on at the same time.
ANSWERS = 32


def unwrapped(held: Array, turns: Complex, modulus: float) -> Array | None:
    """The answers (outputs, N / 2) of coefficients modulo `modulus`, or None where too many wrapped around.

    held: (outputs, N), centred. turns: (N / 2,), the phase of the answer in every slot, of absolute value 1.
    """
    found = np.empty((len(held), len(turns)))
    for start in range(0, len(held), ANSWERS):
        answers = _unwrapped(held[start : start + ANSWERS], turns, modulus)
        if answers is None:
            return None
        found[start : start + ANSWERS] = answers
    return found


def _unwrapped(held: Array, turns: Complex, modulus: float) -> Array | None:
    back = turns.conj()
    slots = complex_slots(held) * back
    wrong = np.arange(len(held))  # answers that are not known to be right
    for _ in range(ROUNDS):
        signs = coefficients(1j * slots[wrong].imag * turns) * (2 / modulus)
        sizes = np.abs(signs)
        largest = sizes.max(axis=1)
        if (np.sqrt(np.mean(signs**2, axis=1))[largest < ROUNDED] > MOST_LEFT).any():
            return None
        wrong, signs, sizes = (values[largest >= ROUNDED] for values in (wrong, signs, sizes))
        if len(wrong) == 0:
            return np.asarray(slots.real)
        least = np.maximum(ROUNDED, TOGETHER * sizes.max(axis=1, keepdims=True))
        wraps = np.where(sizes >= least, np.rint(signs), 0.0)
        slots[wrong] -= complex_slots(wraps * modulus) * back
    return None
