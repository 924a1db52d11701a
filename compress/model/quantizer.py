"""A weight held to its codebook: a torch parametrization that fake-quantizes, with straight-through gradients.

The latent weight stays an ordinary parameter. Mask, step and levels are buffers: fine-tuning cannot move them, and
state dicts contain them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compress.model.codebook import LayerCodes, quantize

#: Layers whose weight compression touches; their output channels run along axis 0.
PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d)


class _StraightThrough(torch.autograd.Function):
    """w -> mask * step * clip(round_half_up(w / step), +-L); gradient: the mask, zero where |w| > (L + 1/2) step.

    The straight-through estimator is the paper's (OPQ, through a third party's note). The window |w| <= (L + 1/2) step
    is derived: without it clipped weights would drift outward for ever.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, mask: Tensor, step: Tensor, levels: Tensor) -> Tensor:
        ctx.save_for_backward(mask & (weight.abs() <= (levels + 0.5) * step))
        scaled = weight / step
        whole = torch.floor(scaled)
        codes = torch.clamp(
            whole + (scaled - whole >= 0.5), -levels, levels
        )  # as codebook.round_half_up, exact in float32
        return mask * step * codes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (passes,) = ctx.saved_tensors
        return gradients[0] * passes, None, None, None


class CodebookQuantizer(nn.Module):
    """The parametrization: buffers mask (weight's shape), log2_step () or (out,), levels ()."""

    mask: Tensor
    log2_step: Tensor
    levels: Tensor

    def __init__(self, mask: NDArray[np.bool_], log2_step: NDArray[np.int32], levels: int) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor(mask))
        self.register_buffer("log2_step", torch.from_numpy(np.asarray(log2_step, dtype=np.int32).copy()))
        self.register_buffer("levels", torch.tensor(levels, dtype=torch.int32))

    def forward(self, weight: Tensor) -> Tensor:
        step = torch.exp2(self.log2_step.to(weight.dtype))
        step = step if step.ndim == 0 else step.reshape((-1,) + (1,) * (weight.ndim - 1))
        return _StraightThrough.apply(weight, self.mask, step, self.levels.to(weight.dtype))  # type: ignore[no-any-return, no-untyped-call]

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What assigning to the weight stores. Pruned latent weights are zero, so that a checkpoint shows no others."""
        return weight * self.mask


def quantize_layer_(layer: nn.Module, mask: NDArray[np.bool_], log2_step: NDArray[np.int32], levels: int) -> None:
    """Hold `layer.weight` to a codebook from now on; the latent weight keeps its values where the mask is True."""
    parametrize.register_parametrization(layer, "weight", CodebookQuantizer(mask, log2_step, levels))


def quantizer_of(layer: nn.Module) -> CodebookQuantizer | None:
    """The layer's quantizer, None for a layer that has none."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    chain = layer.parametrizations["weight"]  # type: ignore[index]
    return next((part for part in chain if isinstance(part, CodebookQuantizer)), None)


def layer_codes(layer: nn.Module) -> LayerCodes | None:
    """Codes as the forward pass uses them now, None for a layer without a codebook."""
    quantizer = quantizer_of(layer)
    if quantizer is None:
        return None
    latent = layer.parametrizations["weight"].original.detach().double().numpy()  # type: ignore[index, union-attr]
    mask = quantizer.mask.numpy().copy()
    log2_step = quantizer.log2_step.numpy().copy()
    levels = int(quantizer.levels)
    # the forward pass works in the precision of the weight, but division by a power of two and this rounding are exact
    codes = np.where(mask, quantize(latent, log2_step, levels), 0).astype(np.int32)
    return LayerCodes(codes, log2_step, mask, levels)


def write_out_(layer: nn.Module) -> None:
    """Replace every parametrization of a layer by an ordinary parameter with the value it has now.

    Unlike `parametrize.remove_parametrizations` this does not change the class of the layer, which deep copies share.
    """
    if not parametrize.is_parametrized(layer):
        return
    values = {
        str(name): nn.Parameter(
            getattr(layer, str(name)).detach().clone(),
            requires_grad=any(part.requires_grad for part in chain.parameters()),  # what was frozen stays frozen
        )
        for name, chain in layer.parametrizations.items()  # type: ignore[union-attr, operator]
    }
    del layer._modules["parametrizations"]
    layer.__class__ = type(layer).__bases__[0]
    for name, value in values.items():
        layer.register_parameter(name, value)


def write_out_all_(layers: Iterable[nn.Module]) -> None:
    """`write_out_` for every layer. Layers that shared a latent weight with equal values still share their weight."""
    written: dict[int, nn.Module] = {}
    for layer in layers:
        shared = weight_identity(layer)
        if not parametrize.is_parametrized(layer):
            continue
        write_out_(layer)
        first = written.setdefault(shared, layer)
        if first is not layer and torch.equal(first.weight, layer.weight):  # type: ignore[arg-type]
            layer.weight = first.weight


def latent_weight(layer: nn.Module) -> Tensor:
    """The trainable weight: the parameter itself, or the latent weight of a quantized layer."""
    if parametrize.is_parametrized(layer, "weight"):
        return layer.parametrizations["weight"].original  # type: ignore[index, union-attr, no-any-return]
    return layer.weight  # type: ignore[return-value]


def weight_identity(layer: nn.Module) -> int:
    """A number that is equal for layers that share their weight, also when a weight normalization makes it."""
    if parametrize.is_parametrized(layer, "weight"):
        return id(next(layer.parametrizations["weight"].parameters(), layer))  # type: ignore[index, union-attr]
    return id(layer.weight)
