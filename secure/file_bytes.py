"""The bytes of a file that are read when somebody asks for them: an evaluation key may be larger than what else a
server holds while it registers it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compress.errors import FormatError


@dataclass(frozen=True)
class FileBytes:
    """Bytes start to end - 1 of an open file. Slices of step 1 are read from it as bytes; `part` reads nothing."""

    descriptor: int
    start: int
    end: int
    name: str

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, place: slice) -> bytes:
        """Raises: FormatError where the file has become shorter; OSError."""
        first, end, step = place.indices(len(self))
        assert step == 1, "bytes side by side"
        pieces, at = [], self.start + first
        while at < self.start + end:
            piece = os.pread(self.descriptor, self.start + end - at, at)
            if not piece:
                raise FormatError(f"{self.name}: the file became shorter while it was read; give a file that is whole")
            pieces.append(piece)
            at += len(piece)
        return b"".join(pieces)

    def __bytes__(self) -> bytes:
        return self[:]

    def part(self, place: slice) -> FileBytes:
        """These bytes as a part of the file."""
        first, end, _ = place.indices(len(self))
        return FileBytes(self.descriptor, self.start + first, self.start + end, self.name)


@contextmanager
def open_bytes(file: Path, name: str) -> Iterator[FileBytes]:
    """The bytes of a file, until the end of the context.

    Raises: OSError; FormatError at the end, where the file was written to meanwhile.
    """
    with file.open("rb") as stream:
        before = os.fstat(stream.fileno())
        yield FileBytes(stream.fileno(), 0, before.st_size, name)
        after = os.fstat(stream.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FormatError(f"{name}: the file was written to while it was read; give a file that is whole")


#: Bytes, a view of bytes, or bytes of a file. All have a length and slices.
Readable = bytes | memoryview | FileBytes
