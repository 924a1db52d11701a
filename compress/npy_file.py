"""The one reader of .npy and .npz from outside: plain arrays of numbers or texts, whose headers tell the truth.

numpy believes a header: it allocates what the header states before it reads, and its own reader of headers fails in
ways of its own. Here the header has to state exactly the bytes that follow it. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

#: The most bytes of all arrays of a file. A compressed file can hold a thousand times its size.
MAX_ARRAY_BYTES = 8 * 2**30
#: Bytes that are read from an archive at once.
PIECE_BYTES = 2**20
#: The most axes of an array, and the kinds of its elements: bool, integers, floats, complex numbers, texts.
MAX_AXES, KINDS = 32, "biufcUS"
#: What numpy's reader of headers raises for what is no header.
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, SyntaxError, TokenError)
#: What zipfile raises for a damaged archive, one with a password, and one with a method that it does not have.
_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError, ArithmeticError)


def read_npy(path: Path) -> NDArray[Any]:
    """The array in an .npy file.

    Raises: ValueError saying what is wrong; OSError.
    """
    if not path.is_file():  # a device or a pipe has no end
        raise FileNotFoundError(2, "no such file", str(path))
    if path.stat().st_size > MAX_ARRAY_BYTES:
        raise ValueError(f"{path.stat().st_size} bytes; allowed are {MAX_ARRAY_BYTES}")
    return parse_npy(bytearray(path.read_bytes()))


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays in an .npz file by name.

    Raises: ValueError saying what is wrong; OSError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if total > MAX_ARRAY_BYTES:
                raise ValueError(f"its arrays take {total} bytes; allowed are {MAX_ARRAY_BYTES}")
            found: dict[str, NDArray[Any]] = {}
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                if name in found:
                    raise ValueError(f"it holds two arrays named '{name[:80]}'")
                found[name] = _member(archive, entry, name)
            return found
    except _ARCHIVE as error:
        raise ValueError(f"no complete zip archive of arrays: {type(error).__name__} {error}") from error
    except MemoryError as error:
        raise ValueError("its arrays do not fit into memory") from error


def parse_npy(content: bytearray) -> NDArray[Any]:
    """The array of these bytes, which share its memory.

    Raises: ValueError.
    """
    shape, fortran, dtype, start = _read_header(BytesIO(content), len(content))
    if prod(shape) * dtype.itemsize == 0:
        return np.zeros(shape if prod(shape) == 0 else 0, dtype=dtype)
    flat = np.frombuffer(content, dtype=dtype, offset=start)
    return flat.reshape(shape, order="F" if fortran else "C")


@dataclass(frozen=True)
class NpyRows:
    """The array in an .npy file, read where it is needed: a slice of its first axis at a time.

    start: where its numbers begin in the file. fortran: whether they are in Fortran order, which has no rows to read
    alone.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    fortran: bool

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Raises: ValueError for a file that has become shorter; OSError."""
        if self.fortran:
            return read_npy(self.path)[rows]
        first, end, _ = rows.indices(len(self))
        width = prod(self.shape[1:])
        with self.path.open("rb") as file:
            file.seek(self.start + first * width * self.dtype.itemsize)
            found = np.fromfile(file, dtype=self.dtype, count=(end - first) * width)
        if len(found) != (end - first) * width:
            raise ValueError(f"it ends after {len(found)} of {(end - first) * width} numbers; it was truncated")
        return found.reshape(end - first, *self.shape[1:])


def open_npy(path: Path) -> NpyRows:
    """The array in an .npy file, of one axis at least, of which only the header is read.

    Raises: as `read_npy`.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "no such file", str(path))
    with path.open("rb") as file:
        shape, fortran, dtype, start = _read_header(file, path.stat().st_size)
    if not shape:
        raise ValueError("a single number, not an array")
    return NpyRows(path, shape, dtype, start, fortran)


def _read_header(stream: BinaryIO, whole_bytes: int) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """(shape, whether in Fortran order, type, where the array starts) of a file of so many bytes.

    Raises: ValueError.
    """
    try:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"format version {version}; allowed are 1.0 and 2.0")
        shape, fortran, dtype = readers[version](stream)
    except RecursionError as error:
        raise ValueError("its header is nested too deep") from error
    except _MALFORMED as error:
        raise ValueError(f"its header cannot be read: {str(error)[:200]}") from error
    if dtype.hasobject or dtype.kind not in KINDS:
        raise ValueError(f"an array of type {str(dtype)[:80]}; allowed are numbers and texts, and no pickled objects")
    if len(shape) > MAX_AXES or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"an array of shape {str(shape)[:80]}")
    size_bytes, start = prod(shape) * dtype.itemsize, stream.tell()
    if size_bytes != whole_bytes - start:
        raise ValueError(
            f"its header states {size_bytes} bytes, {whole_bytes - start} follow; it is truncated or altered"
        )
    return shape, fortran, dtype, start


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    """One array of an archive. Memory grows with what is read, since the size that the archive states may be a lie."""
    content = bytearray()
    with archive.open(entry) as stream:
        while len(content) < entry.file_size:
            part = stream.read(min(PIECE_BYTES, entry.file_size - len(content)))
            if not part:
                raise ValueError(f"array '{name[:80]}' is cut off")
            content += part
        if stream.read(1):
            raise ValueError(f"array '{name[:80]}' is longer than the archive states")
    try:
        return parse_npy(content)
    except ValueError as error:
        raise ValueError(f"array '{name[:80]}': {error}") from error
