"""Memory for the engine's arrays: aligned to cache lines, in pieces large enough for huge pages, and reused.

A new array causes a page fault for each of its pages, which takes longer than many kernels. A vector that crosses a
cache line takes two loads. Hardware prefetching of keys and constants stops at the end of a page, so large pages help.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Bytes of one piece. numpy requests huge pages for arrays of at least 4 MiB; Linux grants them in units of 2 MiB.
PIECE_BYTES = 1 << 23
#: Bytes of a piece where memory is counted: what stays empty at its end is then little.
LARGE_PIECE_BYTES = 1 << 26
LINE_BYTES = 64


class Arena:
    """Arrays cut from large pieces. A piece is kept while one of its arrays is in use."""

    def __init__(self, piece_bytes: int = PIECE_BYTES) -> None:
        self._piece: Array = np.empty(0)
        self._used, self._piece_bytes = 0, piece_bytes

    def empty(self, *shape: int) -> Array:
        """An array of this shape with undefined content."""
        size = prod(shape)
        start = self._used
        if start + size > len(self._piece):
            line = LINE_BYTES // self._piece.itemsize
            self._piece = np.empty(max(size + line, self._piece_bytes // self._piece.itemsize))
            start = -(self._piece.ctypes.data // self._piece.itemsize) % line
        self._used = start + -(-size // 8) * 8
        return self._piece[start : start + size].reshape(shape)

    def copy(self, array: Array) -> Array:
        """A copy of the array in this arena."""
        result = self.empty(*array.shape)
        result[...] = array
        return result


class Workspaces:
    """Arrays of one size, one per running request. Any thread may take and return them: list.pop and append are
    atomic."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[Array] = []

    def take(self) -> Array:
        """An array (size,) with undefined content.

        Raises: MemoryError.
        """
        try:
            return self._free.pop()
        except IndexError:
            return Arena().empty(self._size)

    def give(self, array: Array) -> None:
        """Return an array for reuse. The caller must not use it any more."""
        self._free.append(array)
