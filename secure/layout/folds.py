"""What follows the products of a stage: partial sums of one row are added up, and an imaginary part is taken away. Pure.

A fold f adds the value rotated by f. Two folds f and 2 f in a row equal one sum of the rotations by f, 2 f and 3 f of one value, which
share its digits under the engine; the conjugate, which makes 2 Re(y) of y, joins in the same way. So folds go in pairs (ours).
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
    """Moves that are added to the value before them, group by group; each fold is twice the one before it.

    paired: two folds a group, three keys for two; else one.
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
    """Variance of the real part, in key switches' real parts, of a sum that had `switches` before the groups (derived).

    A fold adds another slot's errors, which doubles the variance; a conjugation doubles the real part itself, which makes it fourfold;
    every move adds a key switch of its own.
    """
    for moves in groups:
        growth = 1.0
        for move in moves[:2]:  # a third is the first two in one
            growth *= 4.0 if move.conjugated else 2.0
        switches = growth * switches + len(moves)
    return switches
