"""LastAxis: an activation whose channels are the last axis of its value, as the features of tokens are."""

from __future__ import annotations

from torch import Tensor, nn


class LastAxis(nn.Module):
    """An activation of (batch, channels, ...) applied to (batch, ..., channels), so that every feature has its own.

    It is read as the activation between two exchanges of axes, which cost nothing.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner(x.transpose(1, -1)).transpose(1, -1)
        return result
