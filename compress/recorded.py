"""Warnings that stand in a result and are logged as well.

A search makes many results and returns one. It logs the warnings of that one alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from logging import Logger

_unlogged: ContextVar[bool] = ContextVar("unlogged", default=False)


def log_recorded(logger: Logger, warnings: Iterable[str]) -> None:
    """Log warnings that a result holds, each once, unless an `unlogged` block is open."""
    if not _unlogged.get():
        for said in dict.fromkeys(warnings):
            logger.warning("%s", said)


@contextmanager
def unlogged() -> Iterator[None]:
    """Leave recorded warnings to the caller, who has the result."""
    token = _unlogged.set(True)
    try:
        yield
    finally:
        _unlogged.reset(token)
