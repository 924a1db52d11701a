"""Block pruning after LPViT: blocks scored by second-order Taylor, shared out over layers by what they cost.

Paper: arXiv 2407.02068 (ECCV 2024), known through its abstract, one table and its released code. Scores, allocation and
costs are the corrected forms (derived), the released power term is selectable; refitting the survivors is ours.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.block_baselines import global_masks, mean_squares, uniform_masks
from compress.block_choices import fill, layer_choices, removal_orders
from compress.block_cost import BlockCost, CkksDiagonals, LayerCost, LayerPlace, Layout, cost_model
from compress.block_curves import Curves, Distortion, MeasuredDistortion, taylor_distortion
from compress.block_importance import Gradient, block_responses, joint_score, single_scores
from compress.block_patterns import BlockPattern, Groups, block_groups, parse_patterns
from compress.errors import CompressError, ConfigError, InputShapeError
from compress.folding import fold_batch_norm
from compress.hardware_aware import PowerTerm, choose
from compress.masking import layer_mask, mask_layer_
from compress.model import CompressedModel, prunable_layers, source_record
from compress.quantizer import quantizer_of, write_out_
from compress.reconstruction import reconstruct_

Array = NDArray[np.float64]
Kept = NDArray[np.bool_]
Progress = Callable[[str, float], None]
#: hardware-aware: least objective within the time. uniform-time: every layer cut to the same share of its own time, its
#: best mask at that. uniform, global-magnitude: see `block_baselines`.
Allocation = Literal["hardware-aware", "uniform-time", "uniform", "global-magnitude"]

logger = logging.getLogger(__name__)

#: Share of a layer's blocks that always stays (the released code's), and never less than one block.
LEAST_KEPT = 0.05


@dataclass(frozen=True)
class BlockRow:
    """What block pruning did to one layer: blocks kept, predicted distortion, and time and energy by the cost model."""

    layer: str
    blocks: int
    kept: int
    distortion: float
    time_dense: float
    time: float
    energy_dense: float
    energy: float


@dataclass(frozen=True)
class _Part:
    """A layer on its way: where it runs, its blocks, their scores and magnitudes, its cost."""

    place: LayerPlace
    groups: Groups
    responses: Array
    scores: Array
    magnitudes: Array
    cost: LayerCost

    @property
    def least(self) -> int:
        return max(1, int(np.ceil(LEAST_KEPT * len(self.scores) - 1e-9)))


def prune_blocks(
    model: nn.Module | CompressedModel,
    data: Any,
    *,
    sparsity: float = 0.5,
    block: str = "residue:128",
    cost: str | BlockCost = "ckks-diagonals",
    allocation: Allocation = "hardware-aware",
    power_term: PowerTerm = "corrected",
    power_weight: float = 0.0,
    gradient: Gradient = "sampled",
    curves: Curves = "measured",
    images: int = 1024,
    reconstruct: bool = True,
    slots: int = 4096,
    seed: int = 0,
    progress: Progress | None = None,
) -> CompressedModel:
    """Prune whole blocks of every Linear, Conv1d and Conv2d after training; `model` is not changed.

    sparsity: share of the cost model's time that goes, over all layers together (cost "block-count": of the blocks).
    block: the family, see `block_patterns`; "inputs:1+residue:128" gives the layer that reads the input its own. power_weight: how much power weighs beside distortion, 1 being the released
    code's balance. images: training images that score blocks. reconstruct: refit the survivors by least squares on
    them. slots: of the ciphertexts that diagonals are counted in.
    Raises: ConfigError, BudgetError; CompressError for a model that is quantized or has no such layer; CalibrationError,
    InputShapeError.
    """
    _check_options(sparsity, allocation, curves, images, slots)
    patterns, model_of_cost = parse_patterns(block), cost_model(cost)
    if isinstance(model_of_cost, CkksDiagonals) and isinstance(cost, str):
        model_of_cost = CkksDiagonals(slots=slots)
    start = model if isinstance(model, CompressedModel) else CompressedModel(module=model, source=source_record(model))
    _check_model(start.module)
    module, old_masks = plain_copy(start.module)
    original = copy.deepcopy(module)
    sample = np.random.default_rng(seed).permutation(len(data.x_train))[:images]
    x, y = data.x_train[np.sort(sample)], data.y_train[np.sort(sample)]
    parts = _parts(module, x, y, patterns, model_of_cost, gradient, slots, seed, progress)
    budget = (1 - sparsity) * sum(part.cost.time(np.ones(len(part.scores), dtype=bool)) for part in parts)
    distortion: Distortion = (
        MeasuredDistortion(module, original, x, {part.place.name: part.groups for part in parts})
        if curves == "measured"
        else taylor_distortion({part.place.name: part.responses for part in parts})
    )
    kept = _allocate(parts, budget, allocation, distortion, power_term, power_weight)
    masks = {}
    for part, keep in zip(parts, kept, strict=True):
        mask = keep[part.groups] & old_masks.get(part.place.name, True)
        masks[part.place.name] = mask
        layer = module.get_submodule(part.place.name)
        with torch.no_grad():
            layer.weight.mul_(torch.from_numpy(mask))  # type: ignore[operator, union-attr]
    refitted = reconstruct_(module, original, masks, x, progress=progress) if reconstruct else []
    for name, mask in masks.items():
        mask_layer_(module.get_submodule(name), mask)
    rows = [_row(part, keep) for part, keep in zip(parts, kept, strict=True)]
    for row in rows:
        logger.info("%s: %d of %d blocks stay", row.layer, row.kept, row.blocks)
    return start.after(
        module,
        input_shape=tuple(x.shape[1:]),
        method="blocks",
        options={
            "sparsity": sparsity,
            "block": block,
            "cost": model_of_cost.name,
            "allocation": allocation,
            "power_term": power_term,
            "power_weight": power_weight,
            "gradient": gradient,
            "curves": curves,
            "images": len(x),
            "slots": slots,
        },
        data=data.name,
        seed=seed,
        original_parameters=sum(parameter.numel() for parameter in start.module.parameters()),
        reconstructed=refitted,
        cost_dense=sum(row.time_dense for row in rows),
        cost_pruned=sum(row.time for row in rows),
        allocation=[asdict(row) for row in rows],
    )


def plain_copy(module: nn.Module) -> tuple[nn.Module, dict[str, Kept]]:
    """A copy with ordinary weights and folded normalization, and the masks its layers had."""
    module = copy.deepcopy(module)
    found = {name: layer_mask(layer) for name, layer in prunable_layers(module)}
    for _, layer in prunable_layers(module):
        write_out_(layer)
    return fold_batch_norm(module), {name: mask for name, mask in found.items() if mask is not None}


def layer_places(module: nn.Module, images: NDArray[np.float32]) -> list[LayerPlace]:
    """Every prunable layer that runs, in running order, with the positions an image pushes through it.

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


def _parts(
    module: nn.Module,
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    patterns: tuple[BlockPattern, BlockPattern],
    cost: BlockCost,
    gradient: Gradient,
    slots: int,
    seed: int,
    progress: Progress | None,
) -> list[_Part]:
    places = layer_places(module, x)
    groups = {
        place.name: block_groups(
            patterns[0] if place.reads_input else patterns[1],
            place.shape,
            modulus=Layout.of(place, slots).modulus,
            conv_groups=place.conv_groups,
        )
        for place in places
    }
    responses = block_responses(module, x, y, groups, gradient=gradient, seed=seed, progress=progress)
    parts = []
    for place in places:
        weight = module.get_submodule(place.name).weight.detach().double().numpy()  # type: ignore[union-attr, operator]
        numbers = groups[place.name]
        parts.append(
            _Part(
                place=place,
                groups=numbers,
                responses=responses[place.name],
                scores=single_scores(responses[place.name]),
                magnitudes=mean_squares(weight, numbers),
                cost=cost.of_layer(place, numbers),
            )
        )
    return parts


def _allocate(
    parts: Sequence[_Part],
    budget: float,
    allocation: Allocation,
    distortion: Distortion,
    term: PowerTerm,
    weight: float,
) -> list[Kept]:
    scores, costs, least = [p.scores for p in parts], [p.cost for p in parts], [p.least for p in parts]
    if allocation == "uniform":
        return uniform_masks(scores, costs, budget, least)
    if allocation == "global-magnitude":
        return global_masks([part.magnitudes for part in parts], costs, budget, least)
    choices = [
        layer_choices(
            part.place.name,
            part.cost,
            distortion,
            features=part.place.shape[1],
            least_kept=part.least,
            orders=removal_orders(part.scores, part.cost, np.bincount(part.groups.ravel()).astype(np.float64)),
        )
        for part in parts
    ]
    curves = [choice.curve for choice in choices]
    if allocation == "uniform-time":
        share = budget / sum(curve.time.max() for curve in curves)
        picks = [choose([curve], share * curve.time.max())[0] for curve in curves]
    else:
        picks = choose(curves, budget, term=term, weight=weight)
    masks = [choice.masks[pick] for choice, pick in zip(choices, picks, strict=True)]
    # with power in the objective a choice may stop short of the budget on purpose
    return masks if weight else fill(masks, scores, costs, budget)


def _row(part: _Part, kept: Kept) -> BlockRow:
    dense = np.ones(len(kept), dtype=bool)
    return BlockRow(
        layer=part.place.name,
        blocks=len(kept),
        kept=int(kept.sum()),
        distortion=joint_score(part.responses, ~kept),
        time_dense=part.cost.time(dense),
        time=part.cost.time(kept),
        energy_dense=part.cost.energy(dense),
        energy=part.cost.energy(kept),
    )


def _check_options(sparsity: float, allocation: str, curves: str, images: int, slots: int) -> None:
    if not 0 <= sparsity < 1:
        raise ConfigError("sparsity", sparsity, "a share in [0, 1)")
    if allocation not in get_args(Allocation):
        raise ConfigError("allocation", allocation, f"one of {', '.join(get_args(Allocation))}")
    if curves not in get_args(Curves):
        raise ConfigError("curves", curves, f"one of {', '.join(get_args(Curves))}")
    if slots < 1 or slots & (slots - 1):
        raise ConfigError("slots", slots, "a power of two")
    if images < 1:
        raise ConfigError("images", images, "1 or more")


def _check_model(module: nn.Module) -> None:
    """Raises: CompressError for a model whose blocks cannot be pruned."""
    layers = dict(prunable_layers(module))
    if not layers:
        raise CompressError(type(module).__name__, "has no Linear, Conv1d or Conv2d layer to prune")
    seen: dict[int, str] = {}
    for name, layer in layers.items():
        if quantizer_of(layer) is not None:
            raise CompressError(name, "is quantized already, its steps fit the weights it has; prune blocks first")
        weight: Tensor = layer.weight  # type: ignore[assignment]
        if not torch.isfinite(weight).all():
            raise CompressError(name, "has weights that are not finite; train the model again or load other weights")
        if id(weight) in seen:
            raise CompressError(
                name, f"shares its weight with '{seen[id(weight)]}'; give each layer a weight of its own"
            )
        seen[id(weight)] = name


def block_table(model: CompressedModel) -> list[Mapping[str, Any]]:
    """Rows of the last block pruning, one a layer; empty when there was none."""
    steps = [step for step in model.history if step["method"] == "blocks"]
    return list(steps[-1]["allocation"]) if steps else []
