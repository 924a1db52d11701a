"""How the kernels of this room are compiled: as the engine's are, and anew when a file of kernels here changes too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numba

from secure.engine import compiled as engine

_HERE = Path(__file__).parent
#: Files of kernels are those that import the decorator below.
_KERNELS = [content for file in sorted(_HERE.glob("*.py")) if b"import kernel\n" in (content := file.read_bytes())]
_SOURCES = crc32(b"".join(_KERNELS))
#: numba's cache folder: its name holds the sources of the engine and those of this room's kernels.
FOLDER = _HERE / "__pycache__" / f"{engine.FOLDER.name}-{_SOURCES:08x}"


def kernel(function: Callable[..., Any]) -> Any:
    """The function, compiled at its first call."""
    with _own_folder():
        return numba.njit(nogil=True, cache=True)(function)


@contextmanager
def _own_folder() -> Iterator[None]:
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, str(FOLDER)
    try:
        yield
    finally:
        config.CACHE_DIR = before
