"""Files for bodies that are too large for memory, in a folder that the server empties when it starts and stops.

A body is read from its connection into the pages of its file, and the worker reads it there: it is copied once, by the
kernel. A file that was used before is used again for the next body, since its pages are in memory already. It is kept
only after a request that went well, so nobody can be at it any more.
"""

from __future__ import annotations

import mmap
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Files that are kept for the next bodies, at most, and bytes that sizes of files are multiples of.
KEPT_FILES, STEP_BYTES = 8, 2**20


class Room:
    """A new file whose bytes are mapped. It has a name for as long as others are to open it.

    memory: its bytes, which the kernel alone writes to, from a socket or by `write`. So a disk without room is an error
    of that call, where a program that wrote to the memory itself would be ended.
    """

    def __init__(self, path: Path, size_bytes: int) -> None:
        """Raises: OSError."""
        self.path, self.size_bytes = path, -(-max(size_bytes, 1) // STEP_BYTES) * STEP_BYTES
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+b", buffering=0) as file:
            file.truncate(self.size_bytes)  # takes no room on the disk yet
            self.memory = memoryview(mmap.mmap(file.fileno(), self.size_bytes))
            self._file = os.dup(file.fileno())

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def write(self, content: bytes | memoryview, at: int) -> None:
        """Put bytes into the file.

        Raises: OSError.
        """
        while content:
            written = os.pwrite(self._file, content, at)
            content, at = content[written:], at + written

    def remove(self) -> None:
        """Take the name away. Whoever has the file open still reads it."""
        self.path.unlink(missing_ok=True)


class Spool:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        """Raises: OSError."""
        self.folder = folder
        self._free: list[Room] = []
        self.remove()  # of a server that was killed
        folder.mkdir(mode=0o700)

    @contextmanager
    def room(self, size_bytes: int) -> Iterator[Room]:
        """A file for a body of at most so many bytes, for as long as the block runs. It may hold bytes of earlier ones.

        Raises: OSError.
        """
        fitting = (one for one in reversed(self._free) if one.size_bytes >= size_bytes)  # the one used last first
        room = min(fitting, key=lambda one: one.size_bytes, default=None)  # large ones stay for large bodies
        if room is None:
            room = Room(self._new(), size_bytes)
        else:
            self._free.remove(room)
        try:
            yield room
        except BaseException:
            room.remove()
            raise
        self._free.append(room)
        if len(self._free) > KEPT_FILES:
            self._free.pop(0).remove()

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """The path of a file that does not exist yet, and is gone after the block."""
        path = self._new()
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder with all files."""
        self._free.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _new(self) -> Path:
        return self.folder / secrets.token_hex(16)
