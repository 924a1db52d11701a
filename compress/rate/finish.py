"""What makes a trained network small to the last bit: dead units cleared, biases and activations on grids."""

from __future__ import annotations

from torch import nn

from compress.account.accounting import FLOAT_BITS, STEP_BITS, account, bias_bits, bias_flags
from compress.dataset import Dataset, Progress
from compress.errors import CompressError
from compress.joint.quantize import joint_quantize
from compress.joint.regroup import unify
from compress.model.compressed import CompressedModel, prunable_layers, tied_layers
from compress.model.folding import fold_batch_norm
from compress.opq.dead_units import without_dead_units


def finished(
    model: CompressedModel,
    data: Dataset,
    *,
    activation_bits: int = 8,
    bias_bits: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CompressedModel:
    """Dead units cleared, and biases and activations put on grids. The last entry of the history has the scores.

    Raises: CompressError where the network has no form in integers (see `obstacle`).
    """
    cleared = without_dead_units(model, data.input_shape)
    return joint_quantize(cleared, data, bits=activation_bits, bias_bits=bias_bits, seed=seed, progress=progress)


def obstacle(module: nn.Module, input_shape: tuple[int, ...]) -> str:
    """Why a network cannot be finished: what in it has no form in integers; "" where it can."""
    try:
        unify(fold_batch_norm(module), input_shape)
    except CompressError as error:
        return str(error)
    return ""


def rate_when_finished(model: CompressedModel, width: int) -> float:
    """The compression rate that a model with codebooks will have once its biases are on grids of `width` bits.

    Dead units are counted as if they stayed.
    """
    counted, tied = account(model), tied_layers(model.module)
    coded = model.layers().keys()
    biased = [
        layer
        for name, layer in prunable_layers(model.module)
        if (name in coded or name in tied) and getattr(layer, "bias", None) is not None
    ]
    bits = float(counted["total_bits"])
    for layer in biased:
        flags = bias_flags(layer)
        bits += STEP_BITS + bias_bits(*flags, width) - FLOAT_BITS * flags[0].size
    return FLOAT_BITS * float(counted["parameters"]) / bits
