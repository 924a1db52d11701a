"""A measurement in a process of its own, so that its peak memory and its compiled kernels are its own."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import get_context
from typing import Any


def in_own_process(measure: Callable[..., None], *arguments: Any) -> dict[str, Any]:
    """What `measure` sends. It is called with the arguments and the end of a pipe."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=measure, args=(*arguments, sender))
    worker.start()
    sender.close()
    try:
        return dict(receiver.recv())
    finally:
        worker.join()
