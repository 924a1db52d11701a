"""Which floating type a module computes in.

Compression works in float32 or float64. Half precision cannot be trained, and float32 holds all of its numbers exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HALF = (torch.float16, torch.bfloat16)


def precision(module: nn.Module) -> torch.dtype:
    """The floating type of the module's first parameter; float32 for a module without any."""
    return next((part.dtype for part in module.parameters() if part.is_floating_point()), torch.float32)


def in_precision(inputs: Tensor, module: nn.Module) -> Tensor:
    """Inputs in the module's floating type; whole numbers (token ids) stay what they are."""
    return inputs.to(precision(module)) if inputs.is_floating_point() else inputs


def full_precision_(module: nn.Module) -> nn.Module:
    """Half-precision parameters and buffers become float32, exactly; all others stay."""
    return module._apply(lambda tensor: tensor.float() if tensor.dtype in HALF else tensor)
