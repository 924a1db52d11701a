"""What follows the products of a stage: folds add up the partial sums of a row, a conjugation removes imaginary parts.
Pure.

A fold f adds the value rotated by f. Two folds f and 2 f in a row equal one sum of the rotations by f, 2 f and 3 f of
one value, and under the engine these rotations share the value's digits. Adding the conjugate, which turns y into 2
Re(y), can be half of such a pair too. So folds are done in pairs (ours).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Move:
    """A rotation by `steps`, conjugated or not."""

    steps: int
    conjugated: bool = False


def fold_groups(folds: Sequence[int], conjugated: bool, paired: bool = True) -> tuple[tuple[Move, ...], ...]:
    """Groups of moves; the moves of a group are all added to the value before it. Each fold is twice the one before it.

    paired: two folds per group, which needs three keys instead of two; else one fold per group.
    """
    halves = [*folds, None] if conjugated else list(folds)
    alone = len(halves) % 2 if paired else len(halves)
    groups: list[tuple[Move, ...]] = [(_single(half),) for half in halves[:alone]]
    for start in range(alone, len(halves), 2):
        first, second = _single(halves[start]), _single(halves[start + 1])
        groups.append((first, second, Move(first.steps + second.steps, second.conjugated)))
    return tuple(groups)


def _single(fold: int | None) -> Move:
    return Move(0, conjugated=True) if fold is None else Move(fold)


def switches_after_folds(switches: float, groups: Sequence[Sequence[Move]]) -> float:
    """Variance of the real part after the groups, in units of the real part of one key switch (derived).

    switches: the variance before them. A fold adds the errors of another slot, which doubles the variance. A
    conjugation doubles the real part itself, which quadruples the variance. Every move adds one key switch.
    """
    for moves in groups:
        growth = 1.0
        for move in moves[:2]:  # the third move is the first two in one
            growth *= 4.0 if move.conjugated else 2.0
        switches = growth * switches + len(moves)
    return switches
