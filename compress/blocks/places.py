"""A module made ready for block pruning: plain weights, and where in the network each prunable layer runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.blocks.cost import LayerPlace
from compress.blocks.patterns import Mask
from compress.errors import InputShapeError
from compress.model.compressed import prunable_layers
from compress.model.folding import fold_batch_norm
from compress.model.masking import layer_mask
from compress.model.quantizer import write_out_
from compress.model.unhooked import unhooked_copy


def plain_copy(module: nn.Module) -> tuple[nn.Module, dict[str, Mask]]:
    """A copy with ordinary weights and folded normalizations, and the masks that its layers had, by name."""
    module = unhooked_copy(module)
    found = {name: layer_mask(layer) for name, layer in prunable_layers(module)}
    for _, layer in prunable_layers(module):
        write_out_(layer)
    return fold_batch_norm(module), {name: mask for name, mask in found.items() if mask is not None}


def layer_places(module: nn.Module, images: NDArray[np.float32]) -> list[LayerPlace]:
    """Every prunable layer that runs on an image, in running order.

    Raises: InputShapeError when the images do not fit the module.
    """
    seen: dict[str, tuple[nn.Module, int]] = {}

    def listen(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.setdefault(name, (layer, output.numel() // len(layer.weight)))  # type: ignore[arg-type]

        return hook

    handles = [layer.register_forward_hook(listen(name)) for name, layer in prunable_layers(module)]
    dtype = next(module.parameters()).dtype
    try:
        with torch.no_grad():
            module.eval()(torch.from_numpy(np.ascontiguousarray(images[:1])).to(dtype))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise InputShapeError(
            f"data: the network does not take images of shape {images.shape[1:]} ({reason}); choose other data"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return [
        LayerPlace(
            name=name,
            shape=tuple(layer.weight.shape),  # type: ignore[union-attr, arg-type]
            positions=positions,
            layers_left=len(seen) - number,
            reads_input=number == 0,
            conv_groups=int(getattr(layer, "groups", 1)),
        )
        for number, (name, (layer, positions)) in enumerate(seen.items())
    ]
