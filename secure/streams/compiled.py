"""How the kernels of this room are compiled: as the engine's are, and anew when a source of this room changes too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numba

from secure.engine import compiled as engine

_HERE = Path(__file__).parent
_SOURCES = crc32(b"".join(file.name.encode() + file.read_bytes() for file in sorted(_HERE.glob("*.py"))))
#: numba's cache folder: its name holds the sources of the engine and those of this room.
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
