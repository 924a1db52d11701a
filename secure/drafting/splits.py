"""Splits: a stage's rotations divided into baby steps of its inputs and giant steps of its sums.

A rotated input serves every output ciphertext, and a rotated sum contains every input. With rotation = baby + giant, D
diagonals need about 2 sqrt(D) rotations instead of D (baby-step/giant-step, Halevi and Shoup). All baby steps of one
input share its digits, so each costs little more than a product with its key. Every giant step costs transforms of its
own. So the split with the least predicted time is chosen, not the one with the fewest rotations (ours).

Where keys count for something, baby steps may be made from one another, and the stages share keys
(`secure.drafting.routes`): of all splits in the order of their time, with the keys that earlier stages leave to be
made, the cheapest is taken. Those whose time alone exceeds it are not looked at.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from secure.drafting.draft import Draft, Split
from secure.drafting.routes import cheapest_routes, joined_giants
from secure.drafting.stage_cost import constant_keys, giant_rotations
from secure.kernels.counts import KernelCounts, KernelTimes
from secure.kernels.engine import PLAIN, Switching, digits_kernels, division_kernels, switch_kernels
from secure.layout.diagonals import DiagonalTable

#: How many of the most frequent differences between rotations are tried as the distance of giant steps.
FREQUENT_DIFFERENCES = 48
#: The step with which every rotation is a giant step.
ONLY_GIANTS = 1


def split_table(
    draft: Draft, table: DiagonalTable, stage: int, rotate_input: bool = True, known: Collection[int] = ()
) -> Split:
    """The cheapest split of a stage's table. rotate_input: whether baby steps are allowed. known: rotations whose keys
    other stages need in any case; they count where keys do.

    Levels are not chosen yet, so prices are those of the level that the stage has if every square is rescaled by one
    prime. Drafts that rescale by two primes take the same split, although rotations cost them more beside products.
    """
    level = 1 + sum(later.squared for later in draft.stages[stage:])
    slots, choice = draft.choice.slots, draft.choice
    if not rotate_input:
        return replace(giants_only(table, slots), horner=choice.share_giants)
    prices = SplitPrices.of(draft.times, level, choice.degree, choice.key_weight, draft.expected_switching)
    return cheapest_split(table, choice.planes, prices, slots, known, horner=choice.share_giants)


def giants_only(table: DiagonalTable, slots: int) -> Split:
    """Giant steps only: products first, rotations after them. Sums have a larger scale, so rotations add less noise."""
    return _split(_rotations(table), ONLY_GIANTS, 0, slots)


@dataclass(frozen=True, kw_only=True)
class SplitPrices:
    """Milliseconds that the parts of a split cost.

    digits: the digits of an input that has baby steps. baby: one baby step. row: one product of a rotated input beyond
    what that of an unrotated one costs, since it has rows of the special primes too. giant: one giant step. source: a
    baby step that others are made from. key: what one key counts for (`Choice.key_weight`).
    """

    digits: float
    baby: float
    row: float
    giant: float
    source: float
    key: float

    @staticmethod
    def of(times: KernelTimes, level: int, degree: int, key_weight: float, switching: Switching = PLAIN) -> SplitPrices:
        """The prices at a level of a ring of this degree, on a machine with these kernel times."""
        digits = digits_kernels(level, degree, switching)
        switch = switch_kernels(level, degree, switching=switching)
        half_division = division_kernels(level, degree, 1, switching)
        rows = KernelCounts(products=2 * switching.specials * degree)  # those of P, in both parts
        return SplitPrices(
            digits=times.milliseconds(digits),
            baby=times.milliseconds(switch),
            row=times.milliseconds(rows),
            giant=times.milliseconds(digits + switch + half_division),
            source=times.milliseconds(digits + half_division),
            key=key_weight * times.milliseconds(digits),
        )


def cheapest_split(
    table: DiagonalTable,
    planes: int,
    prices: SplitPrices,
    slots: int,
    known: Collection[int] = (),
    *,
    horner: bool = True,
) -> Split:
    """The split that costs least; of equally cheap ones that with the smaller step.

    A step and an offset define a split (`_split`). Two offsets are tried: 0, and that which makes the most negative
    rotation a baby step. Where keys count, a third one has baby steps on both sides of 0, beside the widest gap.
    """
    rotations = _rotations(table)
    signed = (rotations + slots // 2) % slots - slots // 2
    candidates = np.array(_candidate_steps(signed, slots), dtype=np.int32)
    offsets = [np.full_like(candidates, offset) for offset in sorted({0, int(-signed.min())})]
    if prices.key:
        offsets.append(np.array([_beside_gap(rotations, step) for step in candidates.tolist()], dtype=np.int32))
    steps, offset = np.tile(candidates, len(offsets)), np.concatenate(offsets)
    costs = _milliseconds(table, planes, prices, slots, steps, offset)
    if not prices.key:
        place = int(np.argmin(costs))
        return replace(_split(rotations, int(steps[place]), int(offset[place]), slots), horner=horner)
    best: Split | None = None
    least = inf
    for place in np.argsort(costs, kind="stable").tolist():
        if best is not None and costs[place] >= least:
            break
        split = replace(_split(rotations, int(steps[place]), int(offset[place]), slots), horner=horner)
        if horner:
            split = replace(split, targets=joined_giants(split.giants, known, slots).sources)
        giants = giant_rotations(table, split) - {*known}
        cost = float(costs[place]) + len(giants) * prices.key
        source = _repeats(table, planes, split) * prices.source
        routes = cheapest_routes(split.babies, {*known, *giants}, source, prices.key, slots, least - cost)
        if best is None or cost + routes.milliseconds < least:
            best, least = replace(split, sources=routes.sources), cost + routes.milliseconds
    return best if best is not None else giants_only(table, slots)


def _repeats(table: DiagonalTable, planes: int, split: Split) -> float:
    """How many input ciphertexts have a baby step, on average over the steps."""
    places = {(key.atom, key.input, split.parts[key.rotation][0]) for key in constant_keys(table, planes)}
    return len(places) / len(split.babies)


def _milliseconds(
    table: DiagonalTable,
    planes: int,
    prices: SplitPrices,
    slots: int,
    steps: NDArray[np.int32],
    offsets: NDArray[np.int32],
) -> NDArray[np.float64]:
    """What splits with these steps and offsets cost without their keys, one by one."""
    keys = list(constant_keys(table, planes))
    sources = _numbered([(key.atom, key.input) for key in keys])
    outputs = np.array([key.output for key in keys], dtype=np.int32)
    rotations = np.array([key.rotation for key in keys], dtype=np.int32)
    shifted = (rotations + offsets[:, None]) % slots
    baby = shifted % steps[:, None]  # (splits, diagonals)
    giant = shifted - baby
    moved = baby != offsets[:, None]  # the baby step is baby - offset; where that is 0, the input is not rotated
    with np.errstate(invalid="ignore"):  # an infinite price times 0 is NaN: any split may win then, and is correct
        return np.asarray(
            prices.digits * _distinct(np.broadcast_to(sources, baby.shape), moved)
            + prices.baby * _distinct(sources * slots + baby, moved)
            + prices.row * moved.sum(axis=1)
            + prices.giant * _distinct(outputs * slots + giant, giant != 0)
        )


def _beside_gap(rotations: NDArray[np.int64], step: int) -> int:
    """The offset with which the rotations modulo `step`, as baby steps, begin behind the widest gap between them."""
    found = np.unique(rotations % step)
    gaps = np.diff(np.append(found, found[0] + step))
    first = int(found[(int(gaps.argmax()) + 1) % len(found)])
    return -first % step


def _distinct(numbers: NDArray[np.int32], counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(rows,): how many different numbers each row has where `counted`. Numbers are at least 0.

    They are int32 since that is sorted faster than int64.
    """
    ordered = np.sort(np.where(counted, numbers, np.int32(-1)), axis=1)
    return np.count_nonzero(np.diff(ordered, axis=1), axis=1) + (ordered[:, 0] != -1)


def _rotations(table: DiagonalTable) -> NDArray[np.int64]:
    """The different rotations of a table's products, in ascending order."""
    return np.array(sorted({table.product_key(key).rotation for key in table.diagonals}))


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
