"""Does a factory give weights of its own, or random ones? Told by making the module twice.

The file runs a second time, from other states of all global generators. Weights that were loaded or computed without
chance are the same both times; random ones differ. Three cases look alike and are taken for random, so that the rule
errs on asking: parameters that are all constant, as right after an initialization with zeros or ones; a file that seeds
a global generator, since it would give the same random numbers twice; and a file that cannot run twice. A file that
draws from a generator of its own cannot be told from one that loads its weights.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from compress.errors import ModelError


def why_random(module: nn.Module, end: tuple[Any, ...], again: Callable[[], nn.Module]) -> str | None:
    """Why the weights of the module seem to be random; None for weights of its own, and for a module without any.

    end: `generator_states()` right after the module was made. again: makes it a second time. The states of the global
    generators are afterwards as they were before.
    """
    if next(module.parameters(), None) is None:
        return None
    with _other_states():
        try:
            second = again()
        except ModelError as error:
            return f"the file cannot run a second time to tell ({error})"
        seeded = _same(generator_states(), end)
    different = _different(module, second)
    if different is not None:
        return f"made twice, the module has two values of '{different}'"
    if all(_constant(parameter) for parameter in module.parameters()):
        return "all parameters are constant, as after an initialization"
    return "the file seeds a generator of random numbers, so its weights may be drawn" if seeded else None


def generator_states() -> tuple[Any, ...]:
    """The states of the global generators of torch, numpy and Python."""
    numbers: Any = np.random.get_state(legacy=True)
    return torch.get_rng_state(), np.asarray(numbers[1]).copy(), numbers[2:], random.getstate()


@contextmanager
def _other_states() -> Iterator[None]:
    """Inside, the global generators are in states that depend on nothing; afterwards as before."""
    kept_numpy, kept_python = np.random.get_state(legacy=True), random.getstate()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.seed()
            np.random.seed(None)
            random.seed(None)
            yield
        finally:
            np.random.set_state(kept_numpy)
            random.setstate(kept_python)


def _same(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    """Whether any of the generators is in the same state."""
    return bool(
        torch.equal(left[0], right[0])
        or (np.array_equal(left[1], right[1]) and left[2] == right[2])
        or left[3] == right[3]
    )


def _different(module: nn.Module, second: nn.Module) -> str | None:
    """The first tensor that the two modules do not agree on."""
    found, other = module.state_dict(), second.state_dict()
    if found.keys() != other.keys():
        return min(found.keys() ^ other.keys())
    for name, value in found.items():
        if isinstance(value, torch.Tensor) and not torch.equal(value, other[name]):
            return name
    return None


def _constant(parameter: torch.Tensor) -> bool:
    return bool((parameter == parameter.flatten()[:1]).all())
