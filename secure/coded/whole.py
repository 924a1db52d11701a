"""Whole numbers for real ones: the smallest multiple that is close enough. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Multiples tried one by one before the sure one is taken, and how far from whole an exact one may be.
MOST_TRIED = 1 << 14
EXACT = 1e-9
#: Numbers looked at together.
CHUNK = 1 << 20


def smallest_multiple(values: Array, tolerances: Array) -> float:
    """The smallest m found such that every |round(m v) - m v| is at most m times its tolerance (derived).

    values, tolerances: (numbers,), tolerances above 0. The multiples tried bring the largest or the smallest of the
    values to 1, 2, 3 ...; 0.5 / the least tolerance always serves. Values that are alike cost no bits, and values whose
    ratios are whole numbers few.
    """
    pairs = np.unique(np.stack([np.abs(values), tolerances]), axis=1)
    values, tolerances = pairs[:, pairs[0] > 0]
    if not len(values):
        return 1.0
    sure = float(0.5 / tolerances.min())
    best = sure
    for reference in (values.max(), values.min()):
        most = int(min(MOST_TRIED, best * reference))
        step = max(1, CHUNK // len(values))
        for start in range(1, most + 1, step):
            multiples = np.arange(start, min(start + step, most + 1)) / reference
            scaled = multiples[:, None] * values
            allowed = np.maximum(multiples[:, None] * tolerances, EXACT * scaled)
            good = (np.abs(np.rint(scaled) - scaled) <= allowed).all(axis=1)
            if good.any():
                best = min(best, float(multiples[good.argmax()]))
                break
    return best


def whole_codes(values: Array, bits: int, exact_bits: int | None = None) -> tuple[NDArray[np.int64], float]:
    """(codes, step) such that codes * step are the values, within half a step of codes of `bits` bits, sign included.

    Values that are whole multiples of one number get these multiples, and are exact, if those have at most exact_bits
    (by default `bits`).
    """
    most = 2.0 ** ((exact_bits or bits) - 1)
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0:
        return np.zeros(values.shape, dtype=np.int64), 1.0
    multiple = (2 ** (bits - 1) - 1) / largest
    sizes = np.unique(np.abs(values))
    if len(sizes) <= most:
        exact = smallest_multiple(sizes, np.full(sizes.shape, EXACT * largest))
        multiple = exact if exact * largest < most else multiple
    return np.rint(values * multiple).astype(np.int64), 1.0 / multiple
