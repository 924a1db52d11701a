"""Where the engine's arrays live: on whole cache lines, in pieces large enough for huge pages, and used again.

A fresh array costs a page fault for every page, more than many kernels do; a vector that lies across two cache lines costs two loads;
and a stream through a key or a constant is read ahead only as far as its page goes.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: numpy asks for huge pages for arrays of 4 MiB and more; Linux gives them to every 2 MiB that lie within.
PIECE_BYTES = 1 << 23
LINE_BYTES = 64


class Arena:
    """Arrays cut from large pieces, kept as long as one of them is."""

    def __init__(self) -> None:
        self._piece: Array = np.empty(0)
        self._used = 0

    def empty(self, *shape: int) -> Array:
        """An array of that shape, its content whatever it was."""
        size = prod(shape)
        start = self._used
        if start + size > len(self._piece):
            line = LINE_BYTES // self._piece.itemsize
            self._piece = np.empty(max(size + line, PIECE_BYTES // self._piece.itemsize))
            start = -(self._piece.ctypes.data // self._piece.itemsize) % line
        self._used = start + -(-size // 8) * 8
        return self._piece[start : start + size].reshape(shape)

    def copy(self, array: Array) -> Array:
        """The same numbers in an array of this arena."""
        result = self.empty(*array.shape)
        result[...] = array
        return result


class Workspaces:
    """Arrays of one size, a request's each, taken and given back by any thread: a list's end is moved atomically."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[Array] = []

    def take(self) -> Array:
        """(size,), its content whatever it was.

        Raises: MemoryError.
        """
        try:
            return self._free.pop()
        except IndexError:
            return Arena().empty(self._size)

    def give(self, array: Array) -> None:
        """Let it be taken again; the caller must not touch it any more."""
        self._free.append(array)
