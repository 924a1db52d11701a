"""How kernels are compiled: without the interpreter's lock, cached on disk, and anew when a source of the engine
changes.

numba's cache depends on the file of a function alone, but a kernel contains compiled functions of other files. So the
cache lies in a folder named after the content of all files of the engine.
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
#: numba's cache folder. If it cannot be written, numba takes the user's cache folder.
FOLDER = _HERE / "__pycache__" / f"kernels-{_SOURCES:08x}"


def kernels_compiled() -> bool:
    """Whether compiled kernels of these sources lie beside them; what numba keeps in the user's cache is not seen."""
    return FOLDER.is_dir()


def folder_of(room: Path, below: Path) -> Path:
    """numba's cache folder for another room. Its name holds that of the folder `below`, of the kernels that are called
    from there, and the content of the room's own kernels: the files that import a decorator `kernel`."""
    files = (file.read_bytes() for file in sorted(room.glob("*.py")))
    sources = crc32(b"".join(content for content in files if b"import kernel\n" in content))
    return room / "__pycache__" / f"{below.name}-{sources:08x}"


def kernels_in(folder: Path) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles a function at its first call, and keeps the code in this folder."""

    def kernel(function: Callable[..., Any]) -> Any:
        with _cached_in(folder):
            return numba.njit(nogil=True, cache=True)(function)

    return kernel


def inlined(function: Callable[..., Any]) -> Any:
    """The function, inlined into the kernels that call it."""
    with _cached_in(FOLDER):
        return numba.njit(nogil=True, cache=True, inline="always")(function)


@contextmanager
def _cached_in(folder: Path) -> Iterator[None]:
    """Sets numba's cache folder, which numba reads when a function is decorated."""
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


#: Compiles a function of the engine at its first call.
kernel = kernels_in(FOLDER)
