"""From a trained model to a converted network by one setting: whole blocks pruned, a codebook, conversion with training.

The one place that strings the methods together; what a setting costs under encryption, others know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compress.blocks.prune import prune_blocks
from compress.conversion.convert import convert
from compress.errors import CompressError, ConfigError
from compress.model.compressed import CompressedModel, module_of
from compress.network import Conv, Dense, Network, Polynomial, Weights
from compress.opq.opq import opq
from compress.training.finetune import finetune

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is done to a model.

    block, share, cost: family of blocks, the share of their cost that goes (None, 0: nothing), and the model of that cost. straight: activations that become
    straight lines. sparsity, bits: of OPQ (bits None: weights stay floats). finetune_epochs: on the codebook before conversion.
    convert_epochs, convert_learning_rate, convert_batch_size, convert_distortion: of conversion.
    """

    block: str | None = None
    share: float = 0.0
    cost: str = "ckks-diagonals"
    straight: tuple[str, ...] = ()
    sparsity: float = 0.0
    bits: float | None = None
    finetune_epochs: int = 0
    convert_epochs: int = 8
    convert_learning_rate: float = 2e-2
    convert_batch_size: int = 256
    convert_distortion: float = 1.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def pruned(
    model: nn.Module | CompressedModel, data: Any, setting: Setting, *, seed: int = 0, progress: Progress | None = None
) -> nn.Module | CompressedModel:
    """The model without the blocks that the setting takes away; the model itself when it takes none.

    Raises: ConfigError; what `prune_blocks` raises.
    """
    if setting.block is None or setting.share == 0.0:
        return model
    if not 0 < setting.share < 1:
        raise ConfigError("share", setting.share, "a share in [0, 1)")
    return prune_blocks(
        model, data, sparsity=setting.share, block=setting.block, cost=setting.cost, seed=seed, progress=progress
    )


def pressed(
    model: nn.Module | CompressedModel,
    data: Any,
    setting: Setting,
    *,
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Network:
    """`pruned`, then `trained`; a pruned model learns from the one before."""
    start = pruned(model, data, setting, seed=seed, progress=progress)
    teacher = None if start is model else module_of(model)
    return trained(start, data, setting, teacher=teacher, augment=augment, seed=seed, progress=progress)


def trained(
    start: nn.Module | CompressedModel,
    data: Any,
    setting: Setting,
    *,
    teacher: nn.Module | None = None,
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Network:
    """Codebook, fine-tuning and conversion of a model that is pruned already. teacher: what conversion distils from (the model itself)."""
    small = start
    if setting.bits is not None:
        small = opq(small, sparsity=setting.sparsity, bits=setting.bits)
        if setting.finetune_epochs:
            small = finetune(small, data, epochs=setting.finetune_epochs, augment=augment, seed=seed, progress=progress)
    return convert(
        small,
        data,
        epochs=setting.convert_epochs,
        learning_rate=setting.convert_learning_rate,
        batch_size=setting.convert_batch_size,
        distortion=setting.convert_distortion,
        straight=setting.straight,
        teacher=teacher,
        augment=augment,
        seed=seed,
        progress=progress,
    )


def sketched(network: Network, masks: Mapping[str, NDArray[np.bool_]], straight: Collection[str] = ()) -> Network:
    """What a compressed network looks like to a compiler, from the uncompressed one and without training.

    Weights are zero where masks (by layer, the weights' shape) are False; polynomials named in `straight` are the lines through their
    ends of the calibrated range.
    Raises: CompressError naming a layer that the network does not have under this name and shape.
    """
    nodes = {node.name: node for node in network.nodes}
    for layer, mask in masks.items():
        node = nodes.get(layer)
        if not isinstance(node, Dense | Conv) or node.weights.codes.shape != mask.shape:
            raise CompressError(layer, "is pruned, but the converted network has no layer of this name and shape")
        nodes[layer] = replace(node, weights=_masked(node.weights, mask))
    for layer in straight:
        node = nodes.get(layer)
        if not isinstance(node, Polynomial):
            raise CompressError(layer, "becomes a line, but the converted network has no polynomial of this name")
        seen = network.ranges[node.inputs[0]]
        nodes[layer] = replace(node, coefficients=_chord(node.coefficients, seen.low, seen.high))
    return replace(network, nodes=tuple(nodes.values()))


def _chord(coefficients: Array, low: float, high: float) -> Array:
    """The line through a polynomial's values at both ends, (2, channels)."""
    ends = [sum(row * end**power for power, row in enumerate(coefficients)) for end in (low, high)]
    slope = (ends[1] - ends[0]) / (high - low)
    return np.stack([ends[0] - slope * low, slope])


def _masked(weights: Weights, mask: NDArray[np.bool_]) -> Weights:
    kept = mask if weights.mask is None else mask & weights.mask
    return replace(weights, codes=weights.codes * mask.astype(weights.codes.dtype), mask=kept)
