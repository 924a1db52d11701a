"""Pass 2, rotations: split every stage's rotations into baby steps (of the inputs) and giant steps (of the sums).

How a split is found, and what it is worth, is in `secure.drafting.splits`. Where keys count, the stages are split one
after the other, and those that follow use the keys of those before them.
"""

from __future__ import annotations

from dataclasses import replace

from secure.drafting.draft import Draft, Split
from secure.drafting.splits import split_table
from secure.drafting.stage_cost import stage_moves, stage_work


def choose_rotations(draft: Draft) -> Draft:
    """Fill splits, one per stage."""
    choice, slots = draft.choice, draft.choice.slots
    splits: list[Split] = []
    known: set[int] = set()
    for index, table in enumerate(draft.tables):
        split = split_table(draft, table, index, index > 0 or choice.rotate_input, known)
        if choice.key_weight:
            moves = stage_moves(table, split, stage_work(table, split, choice), slots)
            known |= {steps for steps, conjugated in moves if not conjugated}
        splits.append(split)
    return replace(draft, splits=tuple(splits))
