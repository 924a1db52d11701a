"""Which blocks every layer keeps in one round of pruning, within a budget of modelled time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compress.blocks.baselines import global_masks, mean_squares, uniform_masks
from compress.blocks.choices import fill, layer_choices, removal_orders
from compress.blocks.cost import BlockCost, LayerCost, LayerPlace, Layout
from compress.blocks.curves import Distortion
from compress.blocks.importance import single_scores
from compress.blocks.objective import choose
from compress.blocks.options import BlockPruning
from compress.blocks.patterns import BRANCH, BlockPattern, Groups, block_groups

Array = NDArray[np.float64]
Kept = NDArray[np.bool_]

#: Share of a layer's blocks that always stays, as in the released code; at least one block stays, but of a branch.
LEAST_KEPT = 0.05


@dataclass(frozen=True)
class BlockLayer:
    """A layer's blocks and what they cost; the same in every round. may_go: whether all of them may be pruned."""

    place: LayerPlace
    groups: Groups
    cost: LayerCost
    may_go: bool = False

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def stays(self) -> bool:
        """Whether nothing of the layer can be pruned."""
        return len(self.dense) == 1 and not self.may_go

    @property
    def dense(self) -> Kept:
        """The mask that keeps every block."""
        return np.ones(int(self.groups.max()) + 1, dtype=bool)


@dataclass(frozen=True)
class ScoredLayer:
    """A layer in one round of pruning.

    By block: responses (blocks, samples), mean squares of its weights, how many weights it has, and whether any of them
    has survived earlier rounds.
    """

    layer: BlockLayer
    responses: Array
    magnitudes: Array
    sizes: Array
    alive: Kept

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def cost(self) -> LayerCost:
        return self.layer.cost

    @property
    def scores(self) -> Array:
        """What removing each block by itself would cost."""
        return single_scores(self.responses)

    @property
    def least(self) -> int:
        """How many blocks always stay."""
        return 0 if self.layer.may_go else max(1, int(np.ceil(LEAST_KEPT * len(self.responses) - 1e-9)))


def block_layers(
    places: Sequence[LayerPlace], patterns: Sequence[BlockPattern], cost: BlockCost, slots: int
) -> list[BlockLayer]:
    """The layers divided into blocks; the last pattern also serves all layers after it."""
    layers = []
    for number, place in enumerate(places):
        pattern = patterns[min(number, len(patterns) - 1)]
        groups = block_groups(
            pattern,
            place.shape,
            modulus=Layout.of(place, slots).modulus,
            conv_groups=place.conv_groups,
            mask=place.mask,
        )
        layers.append(BlockLayer(place, groups, cost.of_layer(place, groups), pattern.kind == BRANCH))
    return layers


def scored_layer(layer: BlockLayer, module: nn.Module, responses: Array, mask: Kept) -> ScoredLayer:
    """The layer with the scores of its blocks, from the module's weights and the responses (blocks, samples)."""
    weight = module.get_submodule(layer.name).weight.detach().double().numpy()  # type: ignore[union-attr, operator]
    alive = np.bincount(layer.groups.ravel(), weights=mask.ravel()) > 0
    sizes = np.bincount(layer.groups.ravel()).astype(np.float64)
    return ScoredLayer(layer, responses, mean_squares(weight, layer.groups), sizes, alive)


def allocate(parts: Sequence[ScoredLayer], budget: float, distortion: Distortion, config: BlockPruning) -> list[Kept]:
    """The blocks that every layer keeps, within the budget.

    Raises: BudgetError.
    """
    scores, costs, least = [p.scores for p in parts], [p.cost for p in parts], [p.least for p in parts]
    if config.allocation == "uniform":
        return uniform_masks(scores, costs, budget, least)
    if config.allocation == "global-magnitude":
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
    if config.allocation == "uniform-time":
        dense = [part.cost.time(part.layer.dense) for part in parts]
        picks = [choose([curve], budget / sum(dense) * time)[0] for curve, time in zip(curves, dense, strict=True)]
    else:
        picks = choose(curves, budget, term=config.power_term, weight=config.power_weight)
    masks = [choice.masks[pick] for choice, pick in zip(choices, picks, strict=True)]
    return fill(masks, scores, costs, budget, [part.alive for part in parts])
