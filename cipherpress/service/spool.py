"""Files for bodies that are too large for memory, in a folder that the server empties when it starts and stops.

A file that was written before is written again for the next body of its size: its pages are in memory already, which
saves four fifths of the cost of writing. A file is kept only after a request that went well, so nobody can be at it
any more.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Files that are kept for the next bodies, at most.
KEPT_FILES = 8


class Spool:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        """Raises: OSError."""
        self.folder = folder
        self._free: list[Path] = []
        self.remove()  # of a server that was killed
        folder.mkdir(mode=0o700)

    @contextmanager
    def kept(self) -> Iterator[Path]:
        """A file for as long as the block runs. It may hold bytes of an earlier body, and is cut to its size by whoever
        writes it."""
        path = self._free.pop() if self._free else self._new()
        try:
            yield path
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if len(self._free) < KEPT_FILES:
            self._free.append(path)
        else:
            path.unlink(missing_ok=True)

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
        shutil.rmtree(self.folder, ignore_errors=True)

    def _new(self) -> Path:
        return self.folder / secrets.token_hex(16)
