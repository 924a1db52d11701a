"""Time that a server has run, over all its starts: what keys expire by.

The time of day plays no part, so no key is lost when it jumps, or while the server is off.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from time import monotonic

from compress.artifact import write_file


class RunningTime:
    """Seconds that the servers of one data folder have run. They are kept in a file."""

    def __init__(self, file: Path) -> None:
        """A file that is missing or damaged counts as 0; keys then stay longer than they would have."""
        self._file, self._started = file, monotonic()
        try:
            before = float(file.read_text())
        except (OSError, ValueError):
            before = 0.0
        self._before = before if isfinite(before) and before >= 0 else 0.0

    def now(self) -> float:
        return self._before + monotonic() - self._started

    def save(self) -> None:
        """Raises: OSError."""
        write_file(self._file, f"{self.now():.0f}\n".encode(), force=True)
