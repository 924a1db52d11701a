"""Memory for the engine's arrays: aligned to cache lines, in pieces of huge pages, and reused.

A new array causes a page fault for each of its pages, which takes longer than many kernels. A vector that crosses a
cache line takes two loads. Hardware prefetching of keys and constants stops at the end of a page, so large pages help.

A piece is a mapping of its own that begins and ends with a huge page. In the heap of malloc its first and last huge
page would hold other things too, or nothing: Linux may make such pages huge minutes later, and fill what was never
touched, so that a server's memory would grow while it runs.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from math import prod

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Bytes of one piece.
PIECE_BYTES = 1 << 23
#: Bytes of a piece where memory is counted: what stays empty at its end is then little.
LARGE_PIECE_BYTES = 1 << 26
LINE_BYTES = 64
#: Bytes of a huge page.
HUGE_BYTES = 1 << 21


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
            self._piece, start = mapped(max(size, self._piece_bytes // self._piece.itemsize)), 0
        self._used = start + -(-size // 8) * 8
        return self._piece[start : start + size].reshape(shape)

    def copy(self, array: Array) -> Array:
        """A copy of the array in this arena."""
        result = self.empty(*array.shape)
        result[...] = array
        return result


def mapped(size: int) -> Array:
    """An array (size or a little more,) with undefined content, in a mapping of its own of whole huge pages.

    Where the system has no huge pages, it is an array of numpy's.

    Raises: MemoryError.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        line = LINE_BYTES // 8
        array = np.empty(size + line)
        return array[-(array.ctypes.data // 8) % line :]
    used = -(-size * 8 // HUGE_BYTES) * HUGE_BYTES
    try:
        region = mmap.mmap(-1, used + HUGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"{used + HUGE_BYTES} bytes: {error.strerror}") from error
    with suppress(OSError):  # a kernel without huge pages
        region.madvise(mmap.MADV_HUGEPAGE)
    array = np.frombuffer(region, dtype=np.float64)
    start = -array.ctypes.data % HUGE_BYTES // 8
    return array[start : start + used // 8]


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
