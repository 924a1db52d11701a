"""Block pruning after LPViT: blocks are scored by second-order Taylor and shared out over layers by what they cost.

Paper: arXiv 2407.02068 (ECCV 2024), known through its abstract, one table and its released code. Scores, allocation and
costs are the corrected forms (derived); the released power term can be chosen. Refitting the survivors is ours.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compress.blocks.allocate import BlockLayer, ScoredLayer, allocate, block_layers, scored_layer
from compress.blocks.cost import BlockCost, CkksDiagonals, cost_model
from compress.blocks.curves import Distortion, MeasuredDistortion, taylor_distortion
from compress.blocks.importance import block_responses, joint_score
from compress.blocks.options import BlockPruning, check_blocks
from compress.blocks.patterns import Mask, parse_patterns
from compress.blocks.places import layer_places, plain_copy
from compress.blocks.reconstruction import reconstruct_
from compress.blocks.statistics import output_statistics, statistics_held
from compress.checks import check_seed
from compress.dataset import Dataset, Progress, part_of
from compress.errors import CompressError
from compress.gathering import as_dataset
from compress.graph.joined import joined
from compress.model.compressed import CompressedModel, prunable_layers, source_record
from compress.model.masking import mask_layer_
from compress.model.quantizer import latent_weight, quantizer_of
from compress.training.objective import Objective, settled_for

Kept = NDArray[np.bool_]

DEFAULT = BlockPruning()

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlockRow:
    """What block pruning did to one layer: blocks kept, predicted distortion, and time and energy by the cost model."""

    layer: str
    blocks: int
    kept: int
    distortion: float
    time_dense: float
    time: float
    energy: float


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """The training images that score blocks, and the network as it answers them before pruning."""

    images: NDArray[np.float32]
    labels: NDArray[Any] | None
    objective: Objective
    original: nn.Module

    @classmethod
    def of(cls, data: Dataset, chosen: NDArray[np.intp], objective: Objective, original: nn.Module) -> _Sample:
        labels = None if data.y_train is None else data.y_train[chosen]
        return cls(images=data.x_train[chosen], labels=labels, objective=objective, original=original)


@dataclass(frozen=True)
class _Round:
    """The result of one round: masks by layer, blocks kept of each scored layer, names of refitted layers."""

    masks: dict[str, Mask]
    parts: list[ScoredLayer]
    kept: list[Kept]
    refitted: list[str]


def prune_blocks(
    model: nn.Module | CompressedModel,
    data: object,
    *,
    sparsity: float = 0.5,
    block: str = "residue:128",
    cost: str | BlockCost = "ckks-diagonals",
    config: BlockPruning = DEFAULT,
    seed: int = 0,
    progress: Progress | None = None,
) -> CompressedModel:
    """Prune whole blocks of every Linear, Conv1d and Conv2d after training; `model` is not changed.

    sparsity: share of the cost model's time that is pruned, over all layers together (cost "block-count": share of the
    blocks). block: the family of blocks, see `compress.blocks.patterns`; "inputs:1+residue:128" gives the first layer
    that runs a family of its own. Inputs and outputs that an earlier pruning removed are left out of the blocks, as the
    compiler leaves them out. data: what `as_dataset` takes; labels count only for gradient "labels". cost: see
    `compress.blocks.cost`.
    Raises: ConfigError, BudgetError; CompressError for a model that is quantized or has no such layer;
    CalibrationError, InputShapeError.
    """
    check_blocks(sparsity=sparsity, block=block, cost=cost)
    check_seed(seed)
    model, data = joined(model, as_dataset(data))
    model_of_cost = CkksDiagonals(slots=config.slots) if cost == CkksDiagonals.name else cost_model(cost)
    start = model if isinstance(model, CompressedModel) else CompressedModel(module=model, source=source_record(model))
    _check_model(start.module)
    module, old_masks = plain_copy(start.module)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data.x_train))[: config.images])
    places = [replace(place, mask=old_masks.get(place.name)) for place in layer_places(module, data.x_train[chosen])]
    fitted, objective = settled_for(module, data, trust_labels=bool(start.history))
    sample = _Sample.of(fitted, chosen, objective, copy.deepcopy(module))
    layers = block_layers(places, parse_patterns(block), model_of_cost, config.slots)
    masks = {place.name: np.ones(place.shape, dtype=bool) if place.mask is None else place.mask for place in places}
    dense_time = sum(layer.cost.time(layer.dense) for layer in layers)
    for turn in range(config.rounds):
        budget = dense_time * (1 - sparsity * (turn + 1) / config.rounds)
        part = part_of(progress, turn / config.rounds, 1 / config.rounds)
        done = _prune_round_(module, layers, masks, sample, budget, config, seed=seed + turn, progress=part)
        masks = done.masks
    for name, mask in masks.items():
        mask_layer_(module.get_submodule(name), mask)
    rows = [_row(part, keep) for part, keep in zip(done.parts, done.kept, strict=True)]
    for row in rows:
        logger.info("%s: %d of %d blocks stay", row.layer, row.kept, row.blocks)
    options = asdict(config) | {"images": len(sample.images)}
    options.pop("reconstruct")  # `reconstructed` says it
    return start.after(
        module,
        input_shape=data.input_shape,
        method="blocks",
        options={"sparsity": sparsity, "block": block, "cost": model_of_cost.name, **options},
        data=data.name,
        seed=seed,
        original_parameters=sum(parameter.numel() for parameter in start.module.parameters()),
        reconstructed=done.refitted,
        cost_dense=sum(row.time_dense for row in rows),
        cost_pruned=sum(row.time for row in rows),
        allocation=[asdict(row) for row in rows],
    )


def _prune_round_(
    module: nn.Module,
    layers: list[BlockLayer],
    masks: Mapping[str, Mask],
    sample: _Sample,
    budget: float,
    config: BlockPruning,
    *,
    seed: int,
    progress: Progress | None,
) -> _Round:
    """Score blocks, choose those that stay within the budget, zero the others and refit the survivors, in place."""
    groups = {layer.name: layer.groups for layer in layers}
    responses = {layer.name: np.zeros((1, 1)) for layer in layers if layer.stays}
    responses |= block_responses(
        module,
        sample.images,
        sample.labels,
        {layer.name: layer.groups for layer in layers if not layer.stays},
        gradient=config.gradient,
        objective=sample.objective,
        seed=seed,
        progress=part_of(progress, 0.0, 0.5),
    )
    parts = [scored_layer(layer, module, responses[layer.name], masks[layer.name]) for layer in layers]
    distortion: Distortion = (
        MeasuredDistortion(module, sample.original, sample.images, groups, hold_statistics=config.hold_statistics)
        if config.curves == "measured"
        else taylor_distortion(responses)
    )
    kept = allocate(parts, budget, distortion, config)
    left = {part.name: keep[part.layer.groups] & masks[part.name] for part, keep in zip(parts, kept, strict=True)}
    _zero_(module, left)
    refitted = []
    if config.reconstruct:
        refitted = reconstruct_(module, sample.original, left, sample.images, progress=part_of(progress, 0.5, 0.5))
    if config.hold_statistics:
        images = torch.from_numpy(sample.images).to(next(module.parameters()).dtype)
        with statistics_held(module, output_statistics(sample.original, masks, images), written=True), torch.no_grad():
            module(images)
    return _Round(left, parts, kept, refitted)


def _zero_(module: nn.Module, masks: Mapping[str, Mask]) -> None:
    with torch.no_grad():
        for name, mask in masks.items():
            module.get_submodule(name).weight.mul_(torch.from_numpy(mask))  # type: ignore[operator, union-attr]


def _row(part: ScoredLayer, kept: Kept) -> BlockRow:
    dense = part.layer.dense
    return BlockRow(
        layer=part.name,
        blocks=len(kept),
        kept=int(kept.sum()),
        distortion=joint_score(part.responses, ~kept),
        time_dense=part.cost.time(dense),
        time=part.cost.time(kept),
        energy=part.cost.energy(kept),
    )


def _check_model(module: nn.Module) -> None:
    """Raises: CompressError for a model whose blocks cannot be pruned."""
    layers = dict(prunable_layers(module))
    if not layers:
        raise CompressError(None, f"model {type(module).__name__}: it has no Linear, Conv1d or Conv2d layer to prune")
    seen: dict[int, str] = {}
    for name, layer in layers.items():
        if quantizer_of(layer) is not None:
            raise CompressError(name, "is quantized already, its steps fit the weights it has; prune blocks first")
        weight = latent_weight(layer)
        if not torch.isfinite(weight).all():
            raise CompressError(name, "has weights that are not finite; train the model again or load other weights")
        if id(weight) in seen:
            raise CompressError(
                name, f"shares its weight with '{seen[id(weight)]}'; give each layer a weight of its own"
            )
        seen[id(weight)] = name


def block_table(model: CompressedModel) -> list[Mapping[str, Any]]:
    """Rows of the last block pruning, one per layer; empty when there was none."""
    steps = [step for step in model.history if step["method"] == "blocks"]
    return list(steps[-1]["allocation"]) if steps else []
