"""Pass 2, rotations: split every stage's rotations into baby steps (of the inputs) and giant steps (of the sums).

A rotation of an input is shared by every output ciphertext, a rotation of a sum by every input: with r = baby + giant, D diagonals
need about 2 sqrt(D) rotations instead of D (baby-step/giant-step, Halevi-Shoup). All steps from 1 to the largest gap are tried
and the cheapest kept.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from secure.diagonals import DiagonalTable
from secure.draft import Draft, Split

#: A step that leaves a rotation for every diagonal on one side only.
ONLY_GIANTS = 1


def choose_rotations(draft: Draft) -> Draft:
    """Fill splits."""
    slots = draft.choice.slots
    splits = [
        giants_only(table, slots) if index == 0 and not draft.choice.rotate_input else cheapest_split(table, slots)
        for index, table in enumerate(draft.tables)
    ]
    return replace(draft, splits=tuple(splits))


def giants_only(table: DiagonalTable, slots: int) -> Split:
    """Products first, rotations after: the noise of a rotation then lies under the larger scale of the sum."""
    return _split(_rotations(table), ONLY_GIANTS, 0, slots)


def cheapest_split(table: DiagonalTable, slots: int) -> Split:
    """The split with the fewest rotations; of equals the one with the smaller step."""
    rotations = _rotations(table)
    signed = (rotations + slots // 2) % slots - slots // 2
    inputs = np.array([(key.atom * 4096 + key.input) for key in table.diagonals])
    outputs = np.array([key.output for key in table.diagonals])
    steps = np.array([key.rotation for key in table.diagonals])
    best: tuple[int, int, int] | None = None
    for offset in sorted({0, int(-signed.min())}):
        for step in _candidate_steps(signed, slots):
            baby = (steps + offset) % slots % step
            giant = (steps + offset) % slots - baby
            baby_count = len(np.unique(np.stack([inputs, baby]), axis=1).T) - len(np.unique(inputs[baby == offset]))
            giant_count = len(np.unique(np.stack([outputs, giant]), axis=1).T) - len(np.unique(outputs[giant == 0]))
            cost = baby_count + giant_count
            if best is None or cost < best[0]:
                best = (cost, step, offset)
    assert best is not None  # a table always has a diagonal
    return _split(rotations, best[1], best[2], slots)


def _rotations(table: DiagonalTable) -> np.ndarray:
    return np.array(sorted({key.rotation for key in table.diagonals}))


def _candidate_steps(signed: np.ndarray, slots: int) -> list[int]:
    """Every step up to 64, powers of two, and the differences that occur: where structure lets babies repeat."""
    ordered = np.sort(signed)
    differences = np.unique(np.abs(ordered[:, None] - ordered[None, :])) if len(ordered) <= 512 else np.diff(ordered)
    frequent = [int(d) for d in differences if 64 < d < slots][:256]
    powers = [1 << k for k in range(7, slots.bit_length() - 1)]
    return sorted({*range(1, min(64, slots) + 1), *frequent, *powers})


def _split(rotations: np.ndarray, step: int, offset: int, slots: int) -> Split:
    """rotation = baby + giant with baby in [-offset, step - offset): negative offsets of a convolution stay small babies."""
    parts = {}
    for rotation in rotations.tolist():
        shifted = (rotation + offset) % slots
        baby = shifted % step - offset
        parts[rotation] = (baby % slots, (rotation - baby) % slots)
    return Split(parts)
