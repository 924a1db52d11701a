"""A weight held to a mask: the torch parametrization of layers that are pruned and have no codebook.

The latent weight stays an ordinary parameter and the mask is a buffer, as in `quantizer`. A quantized layer has its
mask in its CodebookQuantizer instead.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

Mask = NDArray[np.bool_]


class WeightMask(nn.Module):
    """The parametrization w -> mask * w; buffer mask (the weight's shape). Pruned weights get no gradient."""

    mask: Tensor

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor(mask))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What assigning to the weight stores. Pruned latent weights are zero, so that a checkpoint shows no others."""
        return weight * self.mask


def mask_layer_(layer: nn.Module, mask: Mask) -> None:
    """Hold `layer.weight` to zero where the mask is False from now on."""
    parametrize.register_parametrization(layer, "weight", WeightMask(mask))


def layer_mask(layer: nn.Module) -> Mask | None:
    """The mask of a layer that is pruned and not quantized, None for any other."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    chain = layer.parametrizations["weight"]  # type: ignore[index]
    found = next((part for part in chain if isinstance(part, WeightMask)), None)
    return None if found is None else found.mask.numpy().copy()
