"""The baseline that OPQ is compared with: magnitude pruning at one rate for every layer, and uniform quantization.

Every layer loses the same share of its weights, smallest first. The rest gets the same bits in every layer, over the
full range of the layer. There is no allocation and no clipping.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from compress.errors import BudgetError, CompressError, ConfigError
from compress.model.codebook import bits_levels
from compress.model.compressed import CompressedModel, prunable_layers, source_record
from compress.model.folding import fold_batch_norm
from compress.model.quantizer import latent_weight, quantize_layer_
from compress.opq.masks import rank_mask
from compress.opq.options import HIGHEST_BITS, LOWEST_BITS


def magnitude(model: nn.Module, *, sparsity: float = 0.9, bits: int = 4) -> CompressedModel:
    """Prune `sparsity` of every layer by magnitude and quantize the rest to `bits` bits; `model` is not changed.

    The step is the power of two at which the largest weight still has a code.
    Raises: ConfigError; BudgetError where a layer would keep less than one weight per output; CompressError for a model
    without layers.
    """
    if bits != int(bits) or not LOWEST_BITS <= bits <= HIGHEST_BITS:
        raise ConfigError("bits", bits, f"a whole number from {LOWEST_BITS} to {HIGHEST_BITS}")
    if not 0 <= sparsity < 1:
        raise ConfigError("sparsity", sparsity, "a share in [0, 1)")
    module = fold_batch_norm(model)
    layers = list(prunable_layers(module))
    if not layers:
        raise CompressError(None, f"model {type(model).__name__}: it has no Linear, Conv1d or Conv2d layer to compress")
    levels = bits_levels(int(bits))
    for name, layer in layers:
        weight = latent_weight(layer).detach().double().numpy()
        pruned = round(sparsity * weight.size)
        if weight.size - pruned < len(weight):
            raise BudgetError(
                f"sparsity: {sparsity:g} leaves layer '{name}' less than one weight per output; ask for less"
            )
        largest = float(np.abs(weight).max()) or 1.0
        log2_step = np.array(np.ceil(np.log2(largest / levels)), dtype=np.int32)
        quantize_layer_(layer, rank_mask(weight, pruned), log2_step, levels)
    start = CompressedModel(module=model, source=source_record(model))
    return start.after(
        module,
        method="magnitude",
        options={"sparsity": sparsity, "bits": bits},
        original_parameters=sum(parameter.numel() for parameter in model.parameters()),
    )
