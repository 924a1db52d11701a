"""What follows the products of a stage: folds add up partial sums, a conjugation removes imaginary parts. Pure.

A fold f adds to a value the value rotated by f. Two folds f and 2 f in a row add the rotations by f, 2 f and 3 f of the
first value, and under the engine these three rotations share its digits. Adding the conjugate, which turns y into 2
Re(y), may take the place of the second fold. So folds are done in pairs (ours).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FoldStyle:
    """How folds are done. paired: two folds per group, which needs three keys instead of two; else one fold per group.

    per_key: of unpaired folds, how many in a row use the key of the first of them. The fold by 2 f is then two
    rotations by f, that by 4 f four.
    """

    paired: bool = True
    per_key: int = 1


PAIRED, SINGLE = FoldStyle(), FoldStyle(paired=False)


@dataclass(frozen=True)
class Move:
    """A rotation by `steps`, conjugated or not, which is done `times` times."""

    steps: int
    conjugated: bool = False
    times: int = 1

    @property
    def distance(self) -> int:
        """The rotation that all of them make together."""
        return self.steps * self.times


def fold_groups(folds: Sequence[int], conjugated: bool, style: FoldStyle = PAIRED) -> tuple[tuple[Move, ...], ...]:
    """Groups of moves, which are done one after the other.

    A group adds to the value all of its moves, each applied to the value before the group. folds: each is twice the one
    before it. conjugated: whether the conjugate is added after the last fold.
    """
    if style.per_key > 1:
        firsts = [folds[index - index % style.per_key] for index in range(len(folds))]
        moves = [Move(first, times=fold // first) for first, fold in zip(firsts, folds, strict=True)]
        return tuple((move,) for move in [*moves, *([Move(0, conjugated=True)] if conjugated else [])])
    halves = [*folds, None] if conjugated else list(folds)
    alone = len(halves) % 2 if style.paired else len(halves)
    groups: list[tuple[Move, ...]] = [(_single(half),) for half in halves[:alone]]
    for start in range(alone, len(halves), 2):
        first, second = _single(halves[start]), _single(halves[start + 1])
        groups.append((first, second, Move(first.steps + second.steps, second.conjugated)))
    return tuple(groups)


def _single(fold: int | None) -> Move:
    """The move of one fold; None stands for the conjugation."""
    return Move(0, conjugated=True) if fold is None else Move(fold)


def switches_after_folds(switches: float, groups: Sequence[Sequence[Move]]) -> float:
    """The variance of the error after the groups, from that before them, in units of one key switch (derived).

    Both are variances of the real part. A fold adds the error of another slot, which doubles the variance. Adding the
    conjugate doubles the real part itself, which makes the variance four times as large. Every move adds one key
    switch.
    """
    for moves in groups:
        growth = 1.0
        for move in moves[:2]:  # the third move is the first two in one
            growth *= 4.0 if move.conjugated else 2.0
        switches = growth * switches + sum(move.times for move in moves)
    return switches
