"""Block pruning after LPViT: blocks scored by second-order Taylor, shared out over layers by what they cost.

Paper: arXiv 2407.02068 (ECCV 2024), known through its abstract, one table and its released code. Scores, allocation and
costs are the corrected forms (derived), the released power term is selectable; refitting the survivors is ours.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.blocks.baselines import global_masks, mean_squares, uniform_masks
from compress.blocks.choices import fill, layer_choices, removal_orders
from compress.blocks.cost import BlockCost, CkksDiagonals, LayerCost, LayerPlace, Layout, cost_model
from compress.blocks.curves import Curves, Distortion, MeasuredDistortion, taylor_distortion
from compress.blocks.importance import Gradient, block_responses, joint_score, single_scores
from compress.blocks.objective import PowerTerm, choose
from compress.blocks.patterns import BlockPattern, Groups, block_groups, parse_patterns
from compress.blocks.reconstruction import reconstruct_
from compress.dataset import Dataset, Progress
from compress.errors import CompressError, ConfigError, InputShapeError
from compress.model.compressed import CompressedModel, prunable_layers, source_record
from compress.model.folding import fold_batch_norm
from compress.model.masking import layer_mask, mask_layer_
from compress.model.quantizer import latent_weight, quantizer_of, write_out_

Array = NDArray[np.float64]
Kept = NDArray[np.bool_]
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
class _Layer:
    """A layer's blocks and what they cost; the same in every round."""

    place: LayerPlace
    groups: Groups
    cost: LayerCost

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def dense(self) -> Kept:
        return np.ones(int(self.groups.max()) + 1, dtype=bool)


@dataclass(frozen=True)
class _Part:
    """A layer in one round: its blocks' single scores, magnitudes and weights, and which are not empty yet."""

    layer: _Layer
    responses: Array
    magnitudes: Array
    sizes: Array
    alive: Kept

    @staticmethod
    def of(layer: _Layer, module: nn.Module, responses: Array, mask: Kept) -> _Part:
        weight = module.get_submodule(layer.name).weight.detach().double().numpy()  # type: ignore[union-attr, operator]
        alive = np.bincount(layer.groups.ravel(), weights=mask.ravel()) > 0
        sizes = np.bincount(layer.groups.ravel()).astype(np.float64)
        return _Part(layer, responses, mean_squares(weight, layer.groups), sizes, alive)

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def cost(self) -> LayerCost:
        return self.layer.cost

    @property
    def scores(self) -> Array:
        return single_scores(self.responses)

    @property
    def least(self) -> int:
        return max(1, int(np.ceil(LEAST_KEPT * len(self.responses) - 1e-9)))


def prune_blocks(
    model: nn.Module | CompressedModel,
    data: Dataset,
    *,
    sparsity: float = 0.5,
    block: str = "residue:128",
    cost: str | BlockCost = "ckks-diagonals",
    allocation: Allocation = "hardware-aware",
    power_term: PowerTerm = "corrected",
    power_weight: float = 0.0,
    gradient: Gradient = "sampled",
    curves: Curves = "measured",
    images: int = 2048,
    rounds: int = 3,
    reconstruct: bool = True,
    slots: int = 4096,
    seed: int = 0,
    progress: Progress | None = None,
) -> CompressedModel:
    """Prune whole blocks of every Linear, Conv1d and Conv2d after training; `model` is not changed.

    sparsity: share of the cost model's time that goes, over all layers together (cost "block-count": of the blocks).
    block: the family, see `block_patterns`; "inputs:1+residue:128" gives the first layer that runs its own. Lines that an earlier pruning took are left
    out of the classes, as the compiler leaves them out. power_weight: how much power weighs beside distortion, 1 being the released code's
    balance. images: training images that score blocks. rounds: the share goes in so many equal parts, scored and
    refitted anew each time. reconstruct: refit the survivors by least squares on the images. slots: of the ciphertexts that diagonals are counted in.
    Raises: ConfigError, BudgetError; CompressError for a model that is quantized or has no such layer; CalibrationError,
    InputShapeError.
    """
    _check_options(sparsity, allocation, curves, images, rounds, slots)
    patterns, model_of_cost = parse_patterns(block), cost_model(cost)
    if isinstance(model_of_cost, CkksDiagonals) and isinstance(cost, str):
        model_of_cost = CkksDiagonals(slots=slots)
    start = model if isinstance(model, CompressedModel) else CompressedModel(module=model, source=source_record(model))
    _check_model(start.module)
    module, old_masks = plain_copy(start.module)
    original = copy.deepcopy(module)
    sample = np.random.default_rng(seed).permutation(len(data.x_train))[:images]
    x, y = data.x_train[np.sort(sample)], data.y_train[np.sort(sample)]
    places = [replace(place, mask=old_masks.get(place.name)) for place in layer_places(module, x)]
    layers = _layers(places, patterns, model_of_cost, slots)
    masks = {place.name: np.ones(place.shape, dtype=bool) if place.mask is None else place.mask for place in places}
    dense_time = sum(layer.cost.time(layer.dense) for layer in layers)
    refitted: list[str] = []
    for turn in range(1, rounds + 1):
        responses = block_responses(
            module, x, y, {layer.name: layer.groups for layer in layers}, gradient=gradient, seed=seed + turn - 1,
            progress=_part_of(progress, 2 * turn - 2, 2 * rounds),
        )  # fmt: skip
        parts = [_Part.of(layer, module, responses[layer.name], masks[layer.name]) for layer in layers]
        distortion: Distortion = (
            MeasuredDistortion(module, original, x, {layer.name: layer.groups for layer in layers})
            if curves == "measured"
            else taylor_distortion(responses)
        )
        budget = dense_time * (1 - sparsity * turn / rounds)
        kept = _allocate(parts, budget, allocation, distortion, power_term, power_weight)
        masks = {part.name: keep[part.layer.groups] & masks[part.name] for part, keep in zip(parts, kept, strict=True)}
        _zero_(module, masks)
        refitted = (
            reconstruct_(module, original, masks, x, progress=_part_of(progress, 2 * turn - 1, 2 * rounds))
            if reconstruct
            else []
        )
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
            "rounds": rounds,
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


def _layers(
    places: Sequence[LayerPlace], patterns: Sequence[BlockPattern], cost: BlockCost, slots: int
) -> list[_Layer]:
    layers = []
    for number, place in enumerate(places):
        groups = block_groups(
            patterns[min(number, len(patterns) - 1)],
            place.shape,
            modulus=Layout.of(place, slots).modulus,
            conv_groups=place.conv_groups,
            mask=place.mask,
        )
        layers.append(_Layer(place, groups, cost.of_layer(place, groups)))
    return layers


def _allocate(
    parts: Sequence[_Part],
    budget: float,
    allocation: Allocation,
    distortion: Distortion,
    term: PowerTerm,
    weight: float,
) -> list[Kept]:
    """Blocks that every layer keeps, within the budget."""
    scores, costs, least = [p.scores for p in parts], [p.cost for p in parts], [p.least for p in parts]
    if allocation == "uniform":
        return uniform_masks(scores, costs, budget, least)
    if allocation == "global-magnitude":
        return global_masks([part.magnitudes for part in parts], costs, budget, least)
    choices = [
        layer_choices(
            part.name,
            part.cost,
            distortion,
            features=part.layer.place.shape[1],
            least_kept=part.least,
            orders=removal_orders(part.scores, part.cost, part.sizes),
            alive=part.alive,
        )
        for part in parts
    ]
    curves = [choice.curve for choice in choices]
    if allocation == "uniform-time":
        dense = [part.cost.time(part.layer.dense) for part in parts]
        picks = [choose([curve], budget / sum(dense) * time)[0] for curve, time in zip(curves, dense, strict=True)]
    else:
        picks = choose(curves, budget, term=term, weight=weight)
    masks = [choice.masks[pick] for choice, pick in zip(choices, picks, strict=True)]
    return fill(masks, scores, costs, budget, [part.alive for part in parts])


def _zero_(module: nn.Module, masks: Mapping[str, Kept]) -> None:
    with torch.no_grad():
        for name, mask in masks.items():
            module.get_submodule(name).weight.mul_(torch.from_numpy(mask))  # type: ignore[operator, union-attr]


def _part_of(progress: Progress | None, part: int, parts: int) -> Progress | None:
    """Progress of one of several equal parts of the work, as progress of the whole."""
    if progress is None:
        return None
    report = progress
    return lambda label, fraction: report(label, (part + fraction) / parts)


def _row(part: _Part, kept: Kept) -> BlockRow:
    dense = part.layer.dense
    return BlockRow(
        layer=part.name,
        blocks=len(kept),
        kept=int(kept.sum()),
        distortion=joint_score(part.responses, ~kept),
        time_dense=part.cost.time(dense),
        time=part.cost.time(kept),
        energy_dense=part.cost.energy(dense),
        energy=part.cost.energy(kept),
    )


def _check_options(sparsity: float, allocation: str, curves: str, images: int, rounds: int, slots: int) -> None:
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
    if rounds < 1:
        raise ConfigError("rounds", rounds, "1 or more")


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
    """Rows of the last block pruning, one a layer; empty when there was none."""
    steps = [step for step in model.history if step["method"] == "blocks"]
    return list(steps[-1]["allocation"]) if steps else []
