"""How kernels are compiled: without the interpreter's lock, kept on disk, and anew when any source file of the engine has changed.

numba keeps compiled code by the file of the function alone, but a kernel has those of other files inside. So its cache lies in a folder named
after all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numba

_HERE = Path(__file__).parent
_SOURCES = crc32(b"".join(file.name.encode() + file.read_bytes() for file in sorted(_HERE.glob("*.py"))))
#: Where it cannot be written, numba takes the user's own cache folder.
FOLDER = _HERE / "__pycache__" / f"kernels-{_SOURCES:08x}"


def kernel(function: Callable[..., Any]) -> Any:
    """The function, compiled at its first call."""
    with _own_folder():
        return numba.njit(nogil=True, cache=True)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """The function as part of the kernels that call it."""
    with _own_folder():
        return numba.njit(nogil=True, cache=True, inline="always")(function)


@contextmanager
def _own_folder() -> Iterator[None]:
    """numba asks for its folder when a function is decorated."""
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, str(FOLDER)
    try:
        yield
    finally:
        config.CACHE_DIR = before
