"""Pass 2, rotations: split every stage's rotations into baby steps (of the inputs) and giant steps (of the sums).

How a split is found, and what it is worth, is in `secure.drafting.splits`.
"""

from __future__ import annotations

from dataclasses import replace

from secure.drafting.draft import Draft
from secure.drafting.splits import split_table


def choose_rotations(draft: Draft) -> Draft:
    """Fill splits, one per stage."""
    choice = draft.choice
    splits = [
        split_table(draft, table, index, index > 0 or choice.rotate_input) for index, table in enumerate(draft.tables)
    ]
    return replace(draft, splits=tuple(splits))
