"""A layer's choices: nested masks from dense to sparsest, in the orders that its cost model rewards. Pure.

The module `curves` says how much each choice distorts the network's answers; distortions of several layers are added.
Within one order of removal every choice contains the next. With slot packing a rotation is saved only when a whole band
or residue class of diagonals is gone. No single diagonal earns that, so orders that remove whole bands and classes are
offered beside the plain one (ours).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.blocks.cost import DiagonalCost, LayerCost
from compress.blocks.curves import Distortion
from compress.blocks.objective import LayerCurve

Array = NDArray[np.float64]
Kept = NDArray[np.bool_]
Order = NDArray[np.int64]

#: Largest number of choices per order. `fill` then uses up the budget to within one block.
MOST_CHOICES = 200
#: Choices per order whose distortion is computed; the others are interpolated.
DISTORTIONS = 13
#: Baby-step counts whose bands and residue classes are tried as units.
GRID_STEPS = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Choices:
    """Masks (choices, blocks) of one layer, and the curve with one point per choice."""

    masks: Kept
    curve: LayerCurve


def layer_choices(
    name: str,
    cost: LayerCost,
    distortion: Distortion,
    *,
    features: int,
    least_kept: int,
    orders: Sequence[Order],
    alive: Kept | None = None,
) -> Choices:
    """The choices that removing blocks in the given orders makes, as long as at least `least_kept` blocks stay.

    At most MOST_CHOICES per order; distortion is computed at DISTORTIONS of them and interpolated in between. Blocks
    that are not `alive` are in no mask; choices that differ only in those become one.
    """
    blocks = len(orders[0])
    counts = _spaced(blocks - least_kept, MOST_CHOICES)
    sampled = _spaced(blocks - least_kept, DISTORTIONS)
    masks = np.concatenate([_prefixes(order, counts) for order in orders])
    if alive is not None:
        masks &= alive
    measured = distortion(name, np.concatenate([_prefixes(order, sampled) for order in orders]))
    values = np.concatenate([np.interp(counts, sampled, part) for part in np.split(measured, len(orders))])
    _, first = np.unique(masks, axis=0, return_index=True)
    masks, values = masks[first[::-1]], values[first[::-1]]  # dense first
    curve = LayerCurve(
        name=name,
        blocks=blocks,
        features=features,
        pruned=(~masks).mean(axis=1),
        distortion=values,
        time=np.array([cost.time(mask) for mask in masks]),
        energy=np.array([cost.energy(mask) for mask in masks]),
    )
    return Choices(masks, curve)


def removal_orders(scores: Array, cost: LayerCost, sizes: Array) -> list[Order]:
    """Orders in which blocks may be removed, each block once.

    The first order takes the block with the least score per saved time first. Slot packing adds orders that clear whole
    bands and residue classes. sizes: weights per block, which decide where removing one block alone saves nothing.
    """
    dense = np.ones(len(scores), dtype=bool)
    saving = np.array([extra_time(cost, _without(dense, block), block) for block in range(len(scores))])
    price = saving + 1e-6 * (1 + abs(saving).max()) * sizes / sizes.max()
    orders = [np.argsort(scores / price, kind="stable")]
    if isinstance(cost, DiagonalCost):
        touched = [cost.incidence.indices[a:b] for a, b in _rows(cost)]
        diagonal = np.array([cost.diagonals[3, part].min() for part in touched])
        if len(np.unique(diagonal)) > 1:
            orders += [grid_order(scores, diagonal // step, diagonal % step) for step in _grid_steps(cost)]
    return orders


def grid_order(scores: Array, giants: NDArray[np.int64], babies: NDArray[np.int64]) -> Order:
    """The removal order that clears the grid of (giant step, baby step) line by line, least remaining score first.

    A line is a band (one giant step) or a residue class (one baby step); clearing it saves one rotation however many
    diagonals it holds. Lines of both kinds compete. What is left is a set of giant steps times a set of baby steps,
    which needs the fewest rotations.
    """
    alive = np.ones(len(scores), dtype=bool)
    order: list[int] = []
    while alive.any():
        lines = [numbers == line for numbers in (giants, babies) for line in np.unique(numbers[alive])]
        left = [line & alive for line in lines]
        chosen = min(left, key=lambda line: float(scores[line].sum()) / (1 + LINE_WEIGHT * int(line.sum())))
        members = np.flatnonzero(chosen)
        order.extend(members[np.argsort(scores[members], kind="stable")].tolist())
        alive &= ~chosen
    return np.array(order, dtype=np.int64)


#: Time of a product relative to that of a rotation, when lines compete (about 1/12 in SEAL).
LINE_WEIGHT = 1 / 12


def fill(
    masks: list[Kept],
    scores: Sequence[Array],
    costs: Sequence[LayerCost],
    budget: float,
    alive: Sequence[Kept] | None = None,
) -> list[Kept]:
    """The masks with pruned blocks put back, highest score per cost first, until no further block fits the budget.

    alive: the blocks that may be put back (all unless given).
    """
    masks = [mask.copy() for mask in masks]
    left = budget * (1 + 1e-12) - sum(cost.time(mask) for cost, mask in zip(costs, masks, strict=True))
    while True:
        offers = []
        for layer, mask in enumerate(masks):
            for block in np.flatnonzero(~mask if alive is None else ~mask & alive[layer]).tolist():
                extra = extra_time(costs[layer], mask, block)
                if extra <= left:
                    offers.append((-scores[layer][block] / max(extra, 1e-12), layer, block))
        if not offers:
            return masks
        changed = False
        for _, layer, block in sorted(offers):
            extra = extra_time(costs[layer], masks[layer], block)
            if extra <= left:
                left -= extra
                masks[layer][block] = changed = True
        if not changed:
            return masks


def extra_time(cost: LayerCost, kept: Kept, block: int) -> float:
    """Time that keeping one more block adds; zero in slot packing when other blocks use the same diagonals."""
    if isinstance(cost, DiagonalCost):
        alive = cost.incidence_by_diagonal @ kept.astype(np.int32) > 0
        start, stop = cost.incidence.indptr[block : block + 2]
        if alive[cost.incidence.indices[start:stop]].all():
            return 0.0
    return cost.time(_with(kept, block)) - cost.time(kept)


def _spaced(most: int, points: int) -> NDArray[np.int64]:
    """Whole numbers from 0 to `most`, evenly spaced."""
    return np.unique(np.round(np.linspace(0, most, points)).astype(np.int64))


def _prefixes(order: Order, counts: NDArray[np.int64]) -> Kept:
    """(counts, blocks): masks without the first `count` blocks of the order."""
    masks = np.ones((len(counts), len(order)), dtype=bool)
    for mask, count in zip(masks, counts, strict=True):
        mask[order[:count]] = False
    return masks


def _grid_steps(cost: DiagonalCost) -> tuple[int, ...]:
    return tuple(step for step in GRID_STEPS if step in cost.steps)


def _rows(cost: DiagonalCost) -> list[tuple[int, int]]:
    bounds = cost.incidence.indptr
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


def _without(mask: Kept, block: int) -> Kept:
    changed = mask.copy()
    changed[block] = False
    return changed


def _with(mask: Kept, block: int) -> Kept:
    changed = mask.copy()
    changed[block] = True
    return changed
