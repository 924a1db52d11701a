"""Run a network many times with one layer changed: everything before that layer runs only once (ours).

A module that is called once and has finished before the layer starts returns a stored output. Everything after it runs
as usual, so that the answers are the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def cached_prefix(module: nn.Module, layer: nn.Module, images: Tensor) -> Iterator[None]:
    """Inside this context, `module(images)` reuses what does not depend on `layer` from one run at its start.

    It holds only for the same images, in eval mode, without gradients, and while only the parameters of `layer` change.
    """
    held = _finished_before(module, layer, images)
    for part, output in held.items():
        part.forward = _Answer(output)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for part in held:
            del part.forward


class _Answer:
    """A forward function that returns a copy of a stored output, because the modules after it may work in place."""

    def __init__(self, output: Tensor) -> None:
        self.output = output

    def __call__(self, *inputs: Any, **options: Any) -> Tensor:
        return self.output.clone()


def _finished_before(module: nn.Module, layer: nn.Module, images: Tensor) -> dict[nn.Module, Tensor]:
    """The outermost modules that are called once and finish before `layer` first starts, each with its output."""
    calls: dict[nn.Module, int] = {}
    outputs: dict[nn.Module, Tensor] = {}
    reached = False

    def started(part: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal reached
        reached = reached or part is layer
        calls[part] = calls.get(part, 0) + 1

    def ended(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not reached and isinstance(output, Tensor):
            outputs[part] = output.clone()

    parts = [part for part in module.modules() if part is not module]
    handles = [part.register_forward_pre_hook(started) for part in parts]
    handles += [part.register_forward_hook(ended) for part in parts]
    try:
        with torch.no_grad():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
    whole = {
        part: output for part, output in outputs.items() if _once(part, calls) and layer not in set(part.modules())
    }
    inner = {below for part in whole for below in part.modules() if below is not part}
    return {part: output for part, output in whole.items() if part not in inner}


def _once(part: nn.Module, calls: dict[nn.Module, int]) -> bool:
    """Whether the module and every module inside it ran once; a shared one may hold the state of a later call."""
    return all(calls.get(below, 1) == 1 for below in part.modules())
