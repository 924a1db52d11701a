"""Inputs that no step reads need not go into the cache: the same plan on the other inputs. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secure.coded.plan import BatchPlan, Linear, Select, Step

Indices = NDArray[np.int64]


def read_inputs(plan: BatchPlan) -> Indices:
    """The inputs that any step reads, ascending; one at least."""
    read = np.zeros(plan.inputs + 1, dtype=bool)  # the last place is for what is no input
    for step in plan.steps:
        match step:
            case _ if 0 not in step.sources:
                continue
            case Linear():
                read[step.columns] = True
            case Select():
                read[_renumbered(plan, step, np.arange(plan.inputs), others=False)[step.indices]] = True
            case _:
                read[:] = True
    read[0] |= not read[:-1].any()
    return np.flatnonzero(read[:-1])


def narrowed(plan: BatchPlan, kept: Indices) -> BatchPlan:
    """The plan on the kept inputs alone. kept: all that are read, ascending."""
    if len(kept) == plan.inputs:
        return plan
    places = np.full(plan.inputs, -1, dtype=np.int64)
    places[kept] = np.arange(len(kept))
    steps: list[Step] = []
    for step in plan.steps:
        if 0 in step.sources and isinstance(step, Linear):
            step = replace(step, columns=places[step.columns].astype(np.int32))
        elif 0 in step.sources and isinstance(step, Select):
            step = replace(step, indices=_renumbered(plan, step, places, others=True)[step.indices])
        steps.append(step)  # any other step reads all inputs, and then all are kept
    return replace(plan, inputs=len(kept), steps=tuple(steps))


def with_read_inputs(plan: BatchPlan) -> BatchPlan:
    """The plan for which a client sends nothing that no step reads; units are sent in any case."""
    features = plan.inputs - len(plan.units)
    kept = np.union1d(read_inputs(plan), np.arange(features, plan.inputs)).astype(np.int64)
    if len(kept) == plan.inputs:
        return plan
    return replace(narrowed(plan, kept), read_inputs=tuple(kept[kept < features].tolist()))


def _renumbered(plan: BatchPlan, step: Select, places: Indices, *, others: bool) -> Indices:
    """New numbers of all features of a selection's sources, and -1 at the end, where index -1 finds it.

    places: the new number of every input, or -1. others: whether features of other values are numbered after them, or
    all are -1.
    """
    tables, count = [], 0
    for source in step.sources:
        if source == 0:
            tables.append(np.where(places >= 0, places + count, -1))
            count += int((places >= 0).sum()) if others else 0
        else:
            size = plan.steps[source - 1].features
            tables.append(np.arange(count, count + size) if others else np.full(size, -1))
            count += size if others else 0
    return np.concatenate([*tables, [-1]])
