"""Which drafts are alike: those with the same noise get the same parameters, and of those with the same work one stays.
Pure."""

from __future__ import annotations

from collections.abc import Mapping

from secure.drafting.draft import Draft
from secure.drafting.stage_cost import stage_work


def layout_of(draft: Draft) -> tuple[object, ...]:
    """What of a draft decides about its noise beside its levels: drafts that agree in both get the same parameters.
    They may differ in their keys: Horner's rule uses fewer keys and makes the same noise."""
    tables = tuple(id(table) for table in draft.tables)  # drafts with the same layout share its tables
    parts = tuple((*_items(one.parts, one.sources), len(one.joined(one.giants))) for one in draft.splits)
    return draft.choice.planes, draft.choice.fold_style, tables, parts


def _items(*parts: Mapping[int, object]) -> tuple[object, ...]:
    return tuple(tuple(sorted(part.items())) for part in parts)


def rotations_of(draft: Draft) -> tuple[object, ...]:
    """How a draft's rotations are split, chained and paired. Equal for drafts of one layout that do the same work."""
    pairs = zip(draft.tables, draft.splits, strict=True)
    work = tuple(stage_work(table, split, draft.choice) for table, split in pairs)
    parts = tuple(_items(split.parts, split.sources, split.targets) for split in draft.splits)
    return parts, tuple((one.outputs, one.groups, one.presums) for one in work)
