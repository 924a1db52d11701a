"""OPQ: one-shot pruning-quantization. Masks and steps of all layers at once, in closed form, from the trained weights
alone.

Paper: arXiv 2205.11141 (AAAI 2021), known through its abstract and a third party's note: Laplace weights, one
Lagrangian for all layers' pruning, one for their quantization, masks and steps frozen in fine-tuning. The formulas are
derived (`laplace`, `allocation`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compress.errors import CalibrationError, CompressError, ConfigError
from compress.model.codebook import Granularity, bits_levels, power_of_two_step
from compress.model.compressed import CompressedModel, prunable_layers, source_record, tied_layers
from compress.model.folding import fold_batch_norm
from compress.model.masking import Mask
from compress.model.quantizer import latent_weight, quantize_layer_, quantizer_of, weight_identity, write_out_all_
from compress.model.unhooked import unhooked_copy
from compress.opq.allocation import allocate_bits, allocate_rates, threshold_scales
from compress.opq.laplace import clip_ratio, fit_quality, laplace_scale
from compress.opq.masks import exact_counts, rank_mask
from compress.opq.options import (
    DEFAULT_BITS,
    DEFAULT_CAP,
    DEFAULT_SPARSITY,
    HIGHEST_BITS,
    LOWEST_BITS,
    Objective,
    Weighting,
    check_opq,
)

Array = NDArray[np.float64]

logger = logging.getLogger(__name__)

#: Largest pruning rate of the last layer, whose few weights are the evidence for the classes. It does not hold where
#: the other layers cannot make up for it.
LAST_LAYER_CAP = 0.8
#: Largest pruning rate of a depthwise convolution.
DEPTHWISE_CAP = 0.5
#: Both 2^126 and 2^-126 are ordinary float32 numbers.
EXTREME_LOG2_STEP = 126


@dataclass(frozen=True)
class LayerAllocation:
    """What OPQ decided for one layer, and how well the Laplace prior fits it (Kolmogorov-Smirnov distance).

    held: weights that earlier pruning has removed. pruned: all removed weights, those included. Prior and fit are those
    of the scores of the other weights.
    """

    layer: str
    weights: int
    pruned: int
    bits: int
    laplace_scale: float
    fit_distance: float
    held: int = 0


def opq(
    model: nn.Module | CompressedModel,
    *,
    sparsity: float = DEFAULT_SPARSITY,
    bits: float = DEFAULT_BITS,
    weighting: Weighting = "raw",
    granularity: Granularity = "layer",
    cap: float = DEFAULT_CAP,
    objective: Objective = "storage",
    curvature: Mapping[str, Array] | None = None,
) -> CompressedModel:
    """Prune and quantize every Linear, Conv1d and Conv2d; `model` is not changed. Needs no data.

    sparsity: share of those weights that is pruned, over all layers together. Weights that block pruning took before
    count as pruned and stay zero. bits: mean bits of a surviving weight; with objective "encrypted" the mean over
    layers, because under encryption a layer pays for its bits once, as the scale of its plaintexts. weighting: of a
    layer's error in the common objective (ours; the paper's is not known). "curvature" weighs every weight by itself
    and needs `curvature` (see `compress.opq.curvature.weight_curvature`): Laplace priors, rates and ranks are then
    those of the scores |w| sqrt(E[g^2]), whose square is twice what the weight costs to second order. Bits are
    allocated as with "raw". granularity: one power-of-two step per layer or per output channel. cap: largest pruning
    rate of a layer. Layers that share a weight get one codebook and count once. Frozen layers (requires_grad=False) are
    compressed and stay frozen. Half-precision models become float32, which holds their weights exactly.
    Raises: ConfigError, BudgetError; CalibrationError for curvature that does not fit a layer; CompressError for a
    model that is quantized already or has no such layer.
    """
    check_opq(sparsity=sparsity, bits=bits, weighting=weighting, granularity=granularity, cap=cap, objective=objective)
    _check_curvature(weighting, curvature)
    start = model if isinstance(model, CompressedModel) else CompressedModel(module=model, source=source_record(model))
    _check(start.module)
    module = unhooked_copy(start.module)
    write_out_all_(layer for _, layer in prunable_layers(module))
    module = fold_batch_norm(module)
    every, tied = dict(prunable_layers(module)), tied_layers(module)
    layers = {name: layer for name, layer in every.items() if name not in tied}
    last = list(every)[-1]
    weights = {name: latent_weight(layer).detach().double().numpy() for name, layer in layers.items()}
    open_weights = {**{name: np.ones(weight.shape, dtype=bool) for name, weight in weights.items()}, **start.masks()}
    scores = _scores(weights, curvature)
    allocations = _allocate(
        layers, weights, scores, open_weights, sparsity, bits, weighting, cap, tied.get(last, last), objective
    )
    for allocation in allocations:
        name = allocation.layer
        sharing = [every[name], *(every[other] for other, owner in tied.items() if owner == name)]
        _quantize_(sharing, weights[name], scores[name], open_weights[name], allocation, granularity)
    options = {
        "sparsity": sparsity, "bits": bits, "weighting": weighting, "granularity": granularity, "cap": cap,
        "objective": objective,
    }  # fmt: skip
    return start.after(
        module,
        method="opq",
        options=options,
        original_parameters=sum(parameter.numel() for parameter in start.module.parameters()),
        allocation=[asdict(row) for row in allocations],
    )


def _quantize_(
    layers: Sequence[nn.Module],
    weight: Array,
    scores: Array,
    open_weights: Mask,
    allocation: LayerAllocation,
    granularity: Granularity,
) -> None:
    """Give layers that share one weight the mask and codebook of an allocation, in place."""
    # a weight that is held at zero is pruned before any other weight whose score happens to be zero
    ranked = np.where(open_weights, np.maximum(scores, np.finfo(float).tiny), 0.0)
    mask = rank_mask(ranked, allocation.pruned)
    levels = bits_levels(allocation.bits)
    log2_step = _steps(weight, mask, allocation, levels, granularity)
    for layer in layers:
        quantize_layer_(layer, mask, log2_step, levels)


def _check(module: nn.Module) -> None:
    """Raises: CompressError for a model whose weights OPQ cannot take."""
    layers = dict(prunable_layers(module))
    if not layers:
        raise CompressError(
            None, f"model {type(module).__name__}: it has no Linear, Conv1d or Conv2d layer to compress"
        )
    for name, layer in layers.items():
        if quantizer_of(layer) is not None:
            raise CompressError(name, "is quantized already; run opq on the uncompressed model")
        weight = layer.weight
        if not isinstance(weight, nn.Parameter) and not parametrize.is_parametrized(layer, "weight"):
            raise CompressError(
                name, "its weight is computed by a hook (old weight_norm or spectral_norm?); remove the hook first"
            )
        if not isinstance(weight, Tensor) or not torch.isfinite(weight).all():
            raise CompressError(name, "has weights that are not finite; train the model again or load other weights")
        if weight.numel() == 0:
            raise CompressError(name, "has no weights (a size of zero); remove the layer")
    own = {weight_identity(layer): name for name, layer in layers.items()}
    for path, parameter in module.named_parameters(remove_duplicate=False):
        owner, _, attribute = path.rpartition(".")
        if not torch.isfinite(parameter).all():
            raise CompressError(owner, f"its {attribute} is not finite; train the model again or load other weights")
        if id(parameter) in own and owner.removesuffix(".parametrizations.weight") not in layers:
            raise CompressError(
                own[id(parameter)],
                f"shares its weight with '{path}', which cannot be quantized; give it one of its own",
            )


def _check_curvature(weighting: Weighting, curvature: Mapping[str, Array] | None) -> None:
    """Raises: ConfigError for curvature without its weighting, or the reverse."""
    if (weighting == "curvature") != (curvature is not None):
        raise ConfigError(
            "curvature",
            "none" if curvature is None else "given",
            "weight_curvature(model, data), together with weighting 'curvature'",
        )


def _scores(weights: dict[str, Array], curvature: Mapping[str, Array] | None) -> dict[str, Array]:
    """What decides which weights are pruned: magnitudes, times the root of the curvature where it is given.

    Raises: CalibrationError naming the layer that the curvature does not fit.
    """
    if curvature is None:
        return {name: np.abs(weight) for name, weight in weights.items()}
    for name, weight in weights.items():
        found = curvature.get(name)
        if found is None or found.shape != weight.shape or not (np.isfinite(found).all() and (found >= 0).all()):
            raise CalibrationError(
                name,
                f"needs a curvature of shape {weight.shape}, finite and not negative; "
                "take weight_curvature of this model",
            )
    return {name: np.abs(weight) * np.sqrt(curvature[name]) for name, weight in weights.items()}


def _allocate(
    layers: dict[str, nn.Module],
    weights: dict[str, Array],
    scores: dict[str, Array],
    open_weights: dict[str, Mask],
    sparsity: float,
    bits: float,
    weighting: Weighting,
    cap: float,
    last: str,
    objective: Objective,
) -> list[LayerAllocation]:
    """Rates and bits of all layers. Weights that earlier pruning removed are subtracted from sizes, caps and budget.

    For a layer that earlier pruning removed as a whole there is nothing to decide.
    """
    gone = {name: _gone(name, weight.size) for name, weight in weights.items() if not open_weights[name].any()}
    names = [name for name in layers if name not in gone]
    if not names:
        return list(gone.values())
    held = [int((~open_weights[name]).sum()) for name in names]
    values = {name: scores[name][open_weights[name]] for name in names}
    sizes = [values[name].size for name in names]
    scales = [laplace_scale(values[name]) for name in names]
    caps = [_cap(layers[name], weights[name], cap, LAST_LAYER_CAP if name == last else cap) for name in names]
    if sum(share * weights[name].size for share, name in zip(caps, names, strict=True)) < sparsity * (
        sum(sizes) + sum(held)
    ):  # the last layer keeps more only where the others can make up for it
        caps = [_cap(layers[name], weights[name], cap) for name in names]
    most = [
        max(0, int(np.floor(share * weights[name].size + 1e-9)) - away)
        for share, name, away in zip(caps, names, held, strict=True)
    ]
    reachable = [limit / size for limit, size in zip(most, sizes, strict=True)]
    before = sum(held) + sum(row.held for row in gone.values())
    share = max(0.0, (sparsity * (sum(sizes) + before) - before) / sum(sizes)) if before else sparsity
    rates = allocate_rates(scales, sizes, share, weighting=weighting, caps=reachable)
    pruned = exact_counts(rates, sizes, round(share * sum(sizes)), most)
    survivors = [size - away for size, away in zip(sizes, pruned, strict=True)]
    omega_roots = 1 / np.maximum(threshold_scales(scales, sizes, weighting), np.finfo(float).tiny)
    largest = [float(np.abs(weights[name][open_weights[name]]).max()) for name in names]
    ranges = [value * float(root) for value, root in zip(largest, omega_roots, strict=True)]
    layer_bits = allocate_bits(ranges, survivors, bits, low=LOWEST_BITS, high=HIGHEST_BITS, objective=objective)
    rows = dict(gone)
    for index, name in enumerate(names):
        quality = fit_quality(values[name])
        logger.info("%s: prune %.4f, %d bits, Laplace fit %.3f", name, rates[index], layer_bits[index], quality)
        rows[name] = LayerAllocation(
            layer=name,
            weights=sizes[index] + held[index],
            pruned=pruned[index] + held[index],
            bits=layer_bits[index],
            laplace_scale=scales[index],
            fit_distance=quality,
            held=held[index],
        )
    return [rows[name] for name in layers]


def _gone(layer: str, size: int) -> LayerAllocation:
    """The row of a layer that has no weight left."""
    return LayerAllocation(
        layer=layer, weights=size, pruned=size, bits=LOWEST_BITS, laplace_scale=0.0, fit_distance=1.0, held=size
    )


def _cap(layer: nn.Module, weight: Array, *caps: float) -> float:
    """Largest rate of a layer: on average at least one weight per output channel stays, more in depthwise layers."""
    depthwise = getattr(layer, "groups", 1) > 1 and weight.shape[1] == 1
    return float(max(0.0, min(*caps, DEPTHWISE_CAP if depthwise else 1.0, 1 - weight.shape[0] / weight.size)))


def _steps(
    weight: Array, mask: NDArray[np.bool_], allocation: LayerAllocation, levels: int, granularity: Granularity
) -> NDArray[np.int32]:
    """log2 of the step(s): the closed-form clipping value over the levels, rounded to the better power of two."""
    rate = (allocation.pruned - allocation.held) / max(1, allocation.weights - allocation.held)
    if granularity == "layer":
        return np.array(_log2_step(weight[mask], allocation.bits, rate, levels), dtype=np.int32)
    rows = [_log2_step(row[kept], allocation.bits, rate, levels) for row, kept in zip(weight, mask, strict=True)]
    return np.array(rows, dtype=np.int32)


def _log2_step(survivors: Array, bits: int, rate: float, levels: int) -> int:
    """log2 of one step. Above the threshold tau survivors are exponential again, so that mean |w| = tau + b gives b.

    The clipping value is clip_ratio(bits, rate) * b, at most the largest magnitude.
    """
    magnitudes = np.abs(survivors)
    if not magnitudes.size or magnitudes.max() == 0.0:
        return 0
    b = float(magnitudes.mean()) / (1 - float(np.log1p(-rate))) if rate < 1 else float(magnitudes.mean())
    clip = min(clip_ratio(bits, rate) * b, float(magnitudes.max()))
    # weights as small as float32's subnormal numbers have no step that is a normal number; they round to zero
    return max(-EXTREME_LOG2_STEP, min(EXTREME_LOG2_STEP, power_of_two_step(survivors, clip / levels, levels)))


def allocation_table(model: CompressedModel) -> list[dict[str, Any]]:
    """What the last OPQ step decided, one row per layer; empty when there was none."""
    steps = [step for step in model.history if step["method"] == "opq"]
    return list(steps[-1]["allocation"]) if steps else []
