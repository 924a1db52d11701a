"""The hardware-aware objective: how many blocks every layer loses, from curves over its block sparsity. Pure.

minimise  sum_l distortion_l + beta * sum_l power_l   subject to   sum_l time_l = budget        (derived)

The budget is met to within SHORT_OF_BUDGET, so that power decides which layers are pruned, not how much in all.

Every layer offers choices, masks from dense to sparsest, with their distortion, power and time. The choice over layers
is exact: fronts of undominated sums are merged layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from compress.blocks.options import PowerTerm
from compress.errors import BudgetError, ConfigError

Array = NDArray[np.float64]

#: Undominated sums kept after each merge. Of more, the best in each of FRONT_LIMIT cells of cost is kept.
FRONT_LIMIT = 20_000
#: Share of the budget that may stay unused when power is in the objective, and how many halvings look for that choice.
SHORT_OF_BUDGET = 0.01
HALVINGS = 16


@dataclass(frozen=True, kw_only=True)
class LayerCurve:
    """One layer's choices, arrays (choices,): share of blocks pruned, distortion, time and energy.

    blocks: how many blocks the layer has. features: the length of its input, which only the released power term needs.
    """

    name: str
    blocks: int
    features: int
    pruned: Array
    distortion: Array
    time: Array
    energy: Array


def power_term(curve: LayerCurve, term: PowerTerm) -> Array:
    """Power of every choice by the selected term.

    corrected: energy of the blocks that survive (derived; it falls as blocks are pruned). released: pruned share *
    blocks * floor(features / 16), as in the published code. Its sign and dimension are wrong; it is kept for
    comparison.
    Raises: ConfigError.
    """
    if term not in _TERMS:
        raise ConfigError("power_term", term, f"one of {', '.join(get_args(PowerTerm))}")
    return _TERMS[term](curve)


#: The released code has the pruned fraction where the surviving one belongs.
_TERMS: Mapping[str, Callable[[LayerCurve], Array]] = MappingProxyType(
    {
        "corrected": lambda curve: curve.energy,
        "released": lambda curve: curve.pruned * curve.blocks * (curve.features // 16),
        "none": lambda curve: np.zeros(len(curve.pruned)),
    }
)


def power_scale(curves: Sequence[LayerCurve], term: PowerTerm) -> float:
    """beta at weight one: the steepest slope of distortion, divided by the steepest slope of power.

    Slopes are over the pruned share, and both are means over layers (the normalization of the released code).
    """
    steepest = [_steepest(curve.pruned, curve.distortion) for curve in curves]
    powers = [_steepest(curve.pruned, power_term(curve, term)) for curve in curves]
    return float(np.mean(steepest) / np.mean(powers)) if np.mean(powers) > 0 else 0.0


def choose(
    curves: Sequence[LayerCurve], budget: float, *, term: PowerTerm = "corrected", weight: float = 0.0
) -> list[int]:
    """Index of every layer's choice: least distortion + weight * power_scale * power with a total time of the budget.

    Minimising power alone would prune further than the budget asks. A reward for time, as small as possible, stops
    that; it is the multiplier of the budget, whose sign is free as in the released search for a slope.
    Raises: BudgetError when not even the sparsest choices fit; ConfigError.
    """
    if not 0 <= weight < np.inf:
        raise ConfigError("power_weight", weight, "a number at least 0")
    beta = weight * power_scale(curves, term)
    values = [curve.distortion + beta * power_term(curve, term) for curve in curves]
    times = [curve.time for curve in curves]

    def solve(reward: float) -> tuple[list[int], float]:
        picks = cheapest_choices([v - reward * t for v, t in zip(values, times, strict=True)], times, budget)
        return picks, sum(float(time[pick]) for time, pick in zip(times, picks, strict=True))

    picks, used = solve(0.0)
    if beta == 0.0 or used >= (1 - SHORT_OF_BUDGET) * budget:
        return picks
    low, high = 0.0, 2 * sum(_steepest(time, value) for time, value in zip(times, values, strict=True))
    best, _ = solve(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        picks, used = solve(middle)
        if used >= (1 - SHORT_OF_BUDGET) * budget:
            best, high = picks, middle
        else:
            low = middle
    return best


def cheapest_choices(values: Sequence[Array], costs: Sequence[Array], budget: float) -> list[int]:
    """One index per layer: the least sum of values whose sum of costs is within the budget (multiple-choice knapsack).

    Exact as long as no front is longer than FRONT_LIMIT. Of choices with equal values the cheaper one is taken.
    Raises: BudgetError naming the reachable minimum.
    """
    least = [float(cost.min()) for cost in costs]
    if sum(least) > budget * (1 + 1e-12):
        raise BudgetError(
            f"sparsity: the budget is a cost of {budget:.4g}, the sparsest layers allowed cost {sum(least):.4g}; "
            "ask for less sparsity"
        )
    slack = budget * 1e-12
    total_cost, total_value = np.zeros(1), np.zeros(1)
    trail: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for layer, (value, cost) in enumerate(zip(values, costs, strict=True)):
        rest = sum(least[layer + 1 :])
        sums = (total_cost[:, None] + cost[None, :]).ravel()
        worths = (total_value[:, None] + value[None, :]).ravel()
        front = _front(sums, worths, budget - rest + slack)
        trail.append(np.divmod(front, len(cost)))
        total_cost, total_value = sums[front], worths[front]
    position = int(np.argmin(total_value))
    chosen = []
    for parents, picks in reversed(trail):
        chosen.append(int(picks[position]))
        position = int(parents[position])
    return chosen[::-1]


def _front(costs: Array, values: Array, limit: float) -> NDArray[np.int64]:
    """Indices of undominated (cost, value) pairs with cost <= limit, by cost; at most about FRONT_LIMIT of them."""
    fitting = np.flatnonzero(costs <= limit)
    order = fitting[np.lexsort((values[fitting], costs[fitting]))]
    best_before = np.concatenate([[np.inf], np.minimum.accumulate(values[order])[:-1]])
    front = order[values[order] < best_before]
    if len(front) <= FRONT_LIMIT:
        return front
    cells = np.floor((costs[front] - costs[front[0]]) / (costs[front[-1]] - costs[front[0]]) * FRONT_LIMIT)
    last_of_cell = np.append(np.diff(cells) > 0, True)  # values fall along the front: the last one is the best
    last_of_cell[0] = True  # the cheapest must stay reachable
    return front[last_of_cell]


def _steepest(shares: Array, values: Array) -> float:
    """Largest absolute slope between neighbouring choices of different shares."""
    order = np.argsort(shares, kind="stable")
    steps = np.diff(shares[order])
    moving = steps > 0
    return float(np.max(np.abs(np.diff(values[order])[moving] / steps[moving]), initial=0.0))
