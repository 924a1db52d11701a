"""Pruning masks with exact counts. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rank_mask(weights: Array, pruned: int) -> NDArray[np.bool_]:
    """True where a weight stays: all but the `pruned` smallest magnitudes, ties by index (stable), the shape of the
    weights."""
    order = np.argsort(np.abs(weights).ravel(), kind="stable")
    mask = np.ones(weights.size, dtype=bool)
    mask[order[:pruned]] = False
    return mask.reshape(weights.shape)


def exact_counts(shares: Sequence[float], sizes: Sequence[int], total: int, caps: Sequence[int]) -> list[int]:
    """Whole numbers that add up to `total`: floors of share * size, the rest by largest remainder, none above its cap.

    A remainder equal to another goes to the earlier layer.
    """
    wanted = [share * size for share, size in zip(shares, sizes, strict=True)]
    counts = [min(int(np.floor(value + 1e-9)), cap) for value, cap in zip(wanted, caps, strict=True)]
    by_remainder = sorted(range(len(counts)), key=lambda i: (counts[i] - wanted[i], i))
    while sum(counts) < total:
        open_layers = [i for i in by_remainder if counts[i] < caps[i]]
        for i in open_layers[: total - sum(counts)]:
            counts[i] += 1
        if not open_layers:
            break
    return counts
