"""Splits: a stage's rotations divided into baby steps of its inputs and giant steps of its sums, at the least
predicted time.

A rotation of an input is shared by every output ciphertext, a rotation of a sum by every input. With r = baby + giant,
D diagonals need about 2 sqrt(D) rotations instead of D (baby-step/giant-step, Halevi-Shoup). All baby steps of one
input share its digits and cost little more than a product with their key; every giant step costs transforms of its
own. So the predicted time is minimized, and not the number of rotations (ours).
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

#: How many differences between rotations are tried as steps: the most frequent ones.
FREQUENT_DIFFERENCES = 48
#: The step with which every rotation is a giant step.
ONLY_GIANTS = 1


def split_table(draft: Draft, table: DiagonalTable, stage: int, rotate_input: bool = True) -> Split:
    """The cheapest split of a stage's table, priced at the level that the stage has if every square is rescaled by one
    prime.

    Drafts that rescale by two primes take the same split, although rotations cost more there relative to products.
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
    """Products first, rotations after them. The sums have the larger scale, so the noise of a rotation weighs less."""
    return _split(_rotations(table), ONLY_GIANTS, 0, slots)


@dataclass(frozen=True, kw_only=True)
class SplitPrices:
    """Milliseconds that the parts of a split cost.

    digits: taking an input that is rotated apart. baby: a baby step. row: one product with a constant that has one
    more row, since its factor is rotated. giant: a giant step. key: what one key is worth.
    """

    digits: float
    baby: float
    row: float
    giant: float
    key: float

    @staticmethod
    def of(times: KernelTimes, level: int, degree: int, key_weight: int) -> SplitPrices:
        digits, switch = digits_kernels(level, degree), switch_kernels(level, degree)
        one_row = KernelCounts(products=2 * degree)  # that of P, in both parts
        return SplitPrices(
            digits=times.milliseconds(digits),
            baby=times.milliseconds(switch),
            row=times.milliseconds(one_row),
            giant=times.milliseconds(digits + switch + division_kernels(level, degree, parts=1)),
            key=key_weight * times.milliseconds(digits),
        )


def cheapest_split(table: DiagonalTable, planes: int, prices: SplitPrices, slots: int) -> Split:
    """The split that costs least; of equally cheap ones that with the smaller step."""
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
        moved = baby != offset
        giants = _distinct(outputs * slots + giant, giant != 0)
        with np.errstate(invalid="ignore"):  # infinite prices times no part: the split is then any one, and correct
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
    """(rows,): how many different numbers, all at least 0, each row has where `counted`. int32 is sorted faster than
    int64."""
    ordered = np.sort(np.where(counted, numbers, np.int32(-1)), axis=1)
    return np.count_nonzero(np.diff(ordered, axis=1), axis=1) + (ordered[:, 0] != -1)


def _rotations(table: DiagonalTable) -> NDArray[np.int64]:
    return np.array(sorted({key.rotation for key in table.diagonals}))


def _numbered(places: list[tuple[int, int]]) -> NDArray[np.int32]:
    numbers: dict[tuple[int, int], int] = {}
    return np.array([numbers.setdefault(place, len(numbers)) for place in places], dtype=np.int32)


def _candidate_steps(signed: NDArray[np.int64], slots: int) -> list[int]:
    """Every step up to 64, powers of two, and the most frequent differences, by which baby steps may repeat."""
    ordered = np.sort(signed)
    found = np.abs(ordered[:, None] - ordered[None, :]) if len(ordered) <= 512 else np.diff(ordered)
    differences, counts = np.unique(found[(found > 64) & (found < slots)], return_counts=True)
    frequent = differences[np.argsort(-counts, kind="stable")[:FREQUENT_DIFFERENCES]].tolist()
    powers = [1 << k for k in range(7, slots.bit_length() - 1)]
    return sorted({*range(1, min(64, slots) + 1), *frequent, *powers, slots})


def _split(rotations: NDArray[np.int64], step: int, offset: int, slots: int) -> Split:
    """rotation = baby + giant with baby in [-offset, step - offset), so that negative offsets of a convolution stay
    baby steps."""
    parts = {}
    for rotation in rotations.tolist():
        shifted = (rotation + offset) % slots
        baby = shifted % step - offset
        parts[rotation] = (baby % slots, (rotation - baby) % slots)
    return Split(parts)
