"""Modules that stand for several operations: a composed activation, and what conversion makes of a normalization."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx, nn


class ElementwiseActivation(nn.Module):
    """An element-wise function that a model writes in several operations, as one activation.

    parts: the constants and modules that the graph reads by name. Constants are () or (channels, 1, ...); where one has
    several channels, the function differs from channel to channel. words: what it is made of, for people.
    """

    def __init__(self, graph: fx.Graph, parts: Mapping[str, Any], words: str) -> None:
        super().__init__()
        self.words = words
        self.inner = fx.GraphModule(dict(parts), graph)
        self.constants = tuple(name for name, part in parts.items() if isinstance(part, Tensor))

    @property
    def varies(self) -> bool:
        """Whether the function differs from channel to channel."""
        return any(getattr(self.inner, name).ndim > 0 for name in self.constants)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner(x)
        return result

    def of_channel(self, x: Tensor, channel: int) -> Tensor:
        """The function of one channel at x, of any shape."""
        own = copy.deepcopy(self.inner)
        for name in self.constants:
            value = getattr(own, name)
            setattr(own, name, value if value.ndim == 0 else value.reshape(-1)[channel])
        result: Tensor = own(x)
        return result


class FittedNorm(nn.Module):
    """A normalization of each input whose statistics have become trained constants: scale * (x - mean) + shift.

    scale, shift: in a shape that broadcasts to the value without its batch axis. The mean over the last axis is that of
    each input, because it is linear; without `centred` it is left out, and the shift stands for it.
    """

    def __init__(self, scale: Tensor, shift: Tensor, *, centred: bool) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(scale), nn.Parameter(shift)
        self.centred = centred

    def forward(self, x: Tensor) -> Tensor:
        if self.centred:
            x = x - x.mean(dim=-1, keepdim=True)
        return x * self.scale + self.shift


class FittedSoftmax(nn.Module):
    """A softmax inside the network that has become linear: scale * x + shift, x without its batch axis (*axes, keys).

    scale: one number per head. shift: of the shape of x, so that it holds what softmax answers to equal scores and what
    it prefers by position. Attention with it is linear attention: scale Q K^T V + shift V.
    """

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(scale), nn.Parameter(shift)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift
