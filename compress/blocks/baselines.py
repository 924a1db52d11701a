"""Two baselines for the hardware-aware allocation, at the same modelled cost. Pure.

uniform: every layer loses the same share of its blocks. global-magnitude: the blocks whose weights have the least mean
square are pruned, whatever their layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from compress.blocks.cost import LayerCost
from compress.blocks.patterns import Groups
from compress.errors import BudgetError

Array = NDArray[np.float64]
Kept = NDArray[np.bool_]


def uniform_masks(
    scores: Sequence[Array], costs: Sequence[LayerCost], budget: float, least: Sequence[int]
) -> list[Kept]:
    """The masks of the smallest common share that fits the budget; in a layer the least scores are pruned first."""
    orders = [np.argsort(score, kind="stable") for score in scores]
    steps = 4 * max(len(score) for score in scores)

    def masks(step: int) -> list[Kept]:
        return [
            _pruned(order, min(len(order) * step // steps, len(order) - floor))
            for order, floor in zip(orders, least, strict=True)
        ]

    return _first_fitting(masks, steps, costs, budget)


def global_masks(
    magnitudes: Sequence[Array], costs: Sequence[LayerCost], budget: float, least: Sequence[int]
) -> list[Kept]:
    """The masks after pruning as few blocks as the budget allows, least magnitude first over all layers."""
    layer = np.repeat(np.arange(len(magnitudes)), [len(part) for part in magnitudes])
    order = np.argsort(np.concatenate(magnitudes), kind="stable")
    orders = [np.argsort(part, kind="stable") for part in magnitudes]

    def masks(step: int) -> list[Kept]:
        counts = np.bincount(layer[order[:step]], minlength=len(magnitudes))
        return [
            _pruned(own, min(int(count), len(own) - floor))
            for own, count, floor in zip(orders, counts, least, strict=True)
        ]

    return _first_fitting(masks, len(order), costs, budget)


def mean_squares(weight: Array, groups: Groups) -> Array:
    """Mean square of every block's weights."""
    flat = groups.ravel()
    return np.bincount(flat, weights=(weight**2).ravel()) / np.bincount(flat)


def _pruned(order: NDArray[np.int64], count: int) -> Kept:
    mask = np.ones(len(order), dtype=bool)
    mask[order[:count]] = False
    return mask


def _first_fitting(
    masks: Callable[[int], list[Kept]], steps: int, costs: Sequence[LayerCost], budget: float
) -> list[Kept]:
    """Masks of the smallest step that fits: masks only shrink with the step, so halving finds it.

    Raises: BudgetError.
    """

    def time(step: int) -> float:
        return sum(cost.time(mask) for cost, mask in zip(costs, masks(step), strict=True))

    if time(steps) > budget * (1 + 1e-12):
        raise BudgetError(
            f"sparsity: the budget is a cost of {budget:.4g}, the sparsest layers allowed cost {time(steps):.4g}; "
            "ask for less sparsity"
        )
    low, high = -1, steps
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if time(middle) <= budget * (1 + 1e-12) else (middle, high)
    return masks(high)
