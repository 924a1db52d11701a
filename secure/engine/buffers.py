"""Arrays that are used again: a fresh one costs a page fault for every page, more than many kernels do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Buffers:
    """Arrays by shape, taken and given back. Threads may share one: a list's ends are moved atomically."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, ...], list[Array]] = {}

    def take(self, *shape: int) -> Array:
        """An array of that shape, its content whatever it was."""
        try:
            return self._free[shape].pop()
        except (KeyError, IndexError):
            return np.empty(shape)

    def give(self, array: Array) -> None:
        """Let it be taken again; the caller must not touch it any more."""
        self._free.setdefault(array.shape, []).append(array)
