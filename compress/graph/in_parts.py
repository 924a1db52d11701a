"""Functions of torch that are written out as operations that have a form: gated units, bilinear maps, attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F

from compress.graph.transformers import attention


def glu(input: Any, dim: int = -1) -> Any:
    """The first half times the sigmoid of the second."""
    value, gate = input.chunk(2, dim)
    return value * torch.sigmoid(gate)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """y_k = sum_ij left_i weight_kij right_j + bias_k, for values (batch, features)."""
    outputs, left, right = weight.shape
    rows = weight.permute(0, 2, 1).reshape(outputs * right, left)
    pairs = F.linear(input1, rows).reshape(input1.shape[0], outputs, right) * input2.unsqueeze(1)
    total = pairs.sum(-1)
    return total if bias is None else total + bias


IN_PARTS: Mapping[Any, Callable[..., Any]] = MappingProxyType(
    {F.glu: glu, F.bilinear: bilinear, F.scaled_dot_product_attention: attention}
)
