"""Splits: a stage's rotations divided into baby steps of its inputs and giant steps of its sums.

A rotated input serves every output ciphertext, and a rotated sum contains every input. With rotation = baby + giant, D
diagonals need about 2 sqrt(D) rotations instead of D (baby-step/giant-step, Halevi and Shoup). All baby steps of one
input share its digits, so each costs little more than a product with its key. Every giant step costs transforms of its
own. So the split with the least predicted time is chosen, not the one with the fewest rotations (ours).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secure.drafting.draft import Draft, Split
from secure.drafting.stage_cost import constant_keys
from secure.kernels.counts import KernelCounts, KernelTimes
from secure.kernels.engine import digits_kernels, division_kernels, switch_kernels
from secure.layout.diagonals import DiagonalTable

#: How many of the most frequent differences between rotations are tried as the distance of giant steps.
FREQUENT_DIFFERENCES = 48
#: The step with which every rotation is a giant step.
ONLY_GIANTS = 1


def split_table(draft: Draft, table: DiagonalTable, stage: int, rotate_input: bool = True) -> Split:
    """The cheapest split of a stage's table. rotate_input: whether baby steps are allowed.

    Levels are not chosen yet, so prices are those of the level that the stage has if every square is rescaled by one
    prime. Drafts that rescale by two primes take the same split, although rotations cost them more beside products.
    """
    level = 1 + sum(later.squared for later in draft.stages[stage:])
    slots, choice = draft.choice.slots, draft.choice
    if rotate_input:
        prices = SplitPrices.of(draft.times, level, choice.degree, choice.key_weight)
        found = cheapest_split(table, choice.planes, prices, slots)
    else:
        found = giants_only(table, slots)
    return replace(found, horner=choice.share_giants)


def giants_only(table: DiagonalTable, slots: int) -> Split:
    """Giant steps only: products first, rotations after them. Sums have a larger scale, so rotations add less noise."""
    return _split(_rotations(table), ONLY_GIANTS, 0, slots)


@dataclass(frozen=True, kw_only=True)
class SplitPrices:
    """Milliseconds that the parts of a split cost.

    digits: the digits of an input that has baby steps. baby: one baby step. row: one product of a rotated input beyond
    what that of an unrotated one costs, since it has the row of the special prime too. giant: one giant step. key: what
    one key counts for (`Choice.key_weight`).
    """

    digits: float
    baby: float
    row: float
    giant: float
    key: float

    @staticmethod
    def of(times: KernelTimes, level: int, degree: int, key_weight: int) -> SplitPrices:
        """The prices at a level of a ring of this degree, on a machine with these kernel times."""
        digits, switch = digits_kernels(level, degree), switch_kernels(level, degree)
        one_row = KernelCounts(products=2 * degree)  # the row of P, in both parts
        return SplitPrices(
            digits=times.milliseconds(digits),
            baby=times.milliseconds(switch),
            row=times.milliseconds(one_row),
            giant=times.milliseconds(digits + switch + division_kernels(level, degree, parts=1)),
            key=key_weight * times.milliseconds(digits),
        )


def cheapest_split(table: DiagonalTable, planes: int, prices: SplitPrices, slots: int) -> Split:
    """The split that costs least; of equally cheap ones that with the smaller step.

    A step and an offset define a split (`_split`). Two offsets are tried: 0, and that which makes the most negative
    rotation a baby step.
    """
    rotations = _rotations(table)
    signed = (rotations + slots // 2) % slots - slots // 2
    keys = list(constant_keys(table, planes))
    sources = _numbered([(key.atom, key.input) for key in keys])
    outputs = np.array([key.output for key in keys], dtype=np.int32)
    steps = np.array([key.rotation for key in keys], dtype=np.int32)
    candidates = np.array(_candidate_steps(signed, slots), dtype=np.int32)
    best: list[tuple[float, int, int]] = []
    for offset in sorted({0, int(-signed.min())}):
        shifted = (steps + offset) % slots
        baby = shifted % candidates[:, None]  # (candidates, diagonals)
        giant = shifted - baby
        moved = baby != offset  # the baby step is baby - offset; where that is 0, the input is not rotated
        giants = _distinct(outputs * slots + giant, giant != 0)
        with np.errstate(invalid="ignore"):  # an infinite price times 0 is NaN: any split may win then, and is correct
            costs = (
                prices.digits * _distinct(np.broadcast_to(sources, baby.shape), moved)
                + prices.baby * _distinct(sources * slots + baby, moved)
                + prices.row * moved.sum(axis=1)
                + prices.giant * giants
                + prices.key * (_distinct(baby, moved) + np.minimum(1, giants))
            )
        place = int(np.argmin(costs))
        best.append((float(costs[place]), int(candidates[place]), offset))
    _, step, offset = min(best, key=lambda one: one[0])
    return _split(rotations, step, offset, slots)


def _distinct(numbers: NDArray[np.int32], counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(rows,): how many different numbers each row has where `counted`. Numbers are at least 0.

    They are int32 since that is sorted faster than int64.
    """
    ordered = np.sort(np.where(counted, numbers, np.int32(-1)), axis=1)
    return np.count_nonzero(np.diff(ordered, axis=1), axis=1) + (ordered[:, 0] != -1)


def _rotations(table: DiagonalTable) -> NDArray[np.int64]:
    """The different rotations of a table's diagonals, in ascending order."""
    return np.array(sorted({key.rotation for key in table.diagonals}))


def _numbered(places: list[tuple[int, int]]) -> NDArray[np.int32]:
    """A number for every place: the same for equal places, and 0, 1, 2 ... in the order of first appearance."""
    numbers: dict[tuple[int, int], int] = {}
    return np.array([numbers.setdefault(place, len(numbers)) for place in places], dtype=np.int32)


def _candidate_steps(signed: NDArray[np.int64], slots: int) -> list[int]:
    """The distances of giant steps to try: all up to 64, powers of two, and frequent differences between rotations.

    signed: the rotations as numbers from -slots / 2 to slots / 2.
    """
    ordered = np.sort(signed)
    found = np.abs(ordered[:, None] - ordered[None, :]) if len(ordered) <= 512 else np.diff(ordered)
    differences, counts = np.unique(found[(found > 64) & (found < slots)], return_counts=True)
    frequent = differences[np.argsort(-counts, kind="stable")[:FREQUENT_DIFFERENCES]].tolist()
    powers = [1 << k for k in range(7, slots.bit_length() - 1)]
    return sorted({*range(1, min(64, slots) + 1), *frequent, *powers, slots})


def _split(rotations: NDArray[np.int64], step: int, offset: int, slots: int) -> Split:
    """The split with baby steps in [-offset, step - offset) and giant steps that are multiples of `step`.

    An offset keeps the small negative rotations of a convolution baby steps.
    """
    parts = {}
    for rotation in rotations.tolist():
        shifted = (rotation + offset) % slots
        baby = shifted % step - offset
        parts[rotation] = (baby % slots, (rotation - baby) % slots)
    return Split(parts)
