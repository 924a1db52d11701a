"""Baby steps made from one another, so that several stages share few keys. Pure.

Every different rotation needs a key of its own, and in a large ring a key takes megabytes. A baby step may be a
rotation of another baby step in place of one of the input: with 16 channel blocks and the nine taps of a convolution,
the second block of taps is the first one rotated by a block, and needs one key more in place of nine. That costs one
set of digits more, and half a division by P, for every value that is rotated again. Keys that earlier stages need are
there in any case.

The values that are rotated again are found greedily, one by one, and for each set of them the keys by a greedy cover
(ours).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

Steps = NDArray[np.int64]

#: The most values that are rotated again, the input included. Each of them takes a pass over all steps to find.
MOST_SOURCES = 12


@dataclass(frozen=True)
class Routes:
    """How baby steps are made.

    sources: by baby step, the step that it is made from; without those that are made from the input. new_keys:
    rotations between a step and its source that were not known before. milliseconds: what both cost.
    """

    sources: Mapping[int, int]
    new_keys: frozenset[int]
    milliseconds: float


def cheapest_routes(
    babies: Collection[int],
    known: Collection[int],
    source_ms: float,
    key_ms: float,
    slots: int,
    most_ms: float = inf,
) -> Routes:
    """Routes to all baby steps, all in [0, slots), where 0 is the input.

    known: rotations whose keys cost nothing. source_ms: what a step that others are made from costs. key_ms: what a new
    key counts for. most_ms: dearer routes are of no use, so the search ends early where none are cheaper.
    """
    steps = np.array(sorted({*babies} - {0}), dtype=np.int64)
    have = np.zeros(slots, dtype=bool)
    have[list(known)] = True
    have[0] = False
    sources: list[int] = [0]
    keys = _covering(steps, sources, have, slots)
    best = len(keys) * key_ms
    while len(sources) < MOST_SOURCES and len(sources) * source_ms < min(best, most_ms):
        found: tuple[float, int, frozenset[int]] | None = None
        for step in steps.tolist():
            if step in sources:
                continue
            tried = _covering(steps, [*sources, step], have, slots)
            cost = len(sources) * source_ms + len(tried) * key_ms
            if cost < best and (found is None or cost < found[0]):
                found = cost, step, tried
        if found is None:
            break
        best, keys = found[0], found[2]
        sources.append(found[1])
    have[list(keys)] = True
    return Routes(_made_from(steps, sources, have, slots), keys, best)


def joined_giants(giants: Collection[int], known: Collection[int], slots: int) -> Routes:
    """Giant steps that join one another: a sum that is rotated and added to that of a smaller step costs what it costs
    rotated by all of its step, so any of them may be joined, and what counts are the keys.

    For steps s, 2 s, 3 s, ... this is Horner's rule, with gaps as well.
    """
    steps = np.array(sorted({*giants} - {0}), dtype=np.int64)
    have = np.zeros(slots, dtype=bool)
    have[list(known)] = True
    have[0] = False
    targets = [0, *steps.tolist()]
    keys = _covering(steps, targets, have, slots)
    have[list(keys)] = True
    return Routes(_made_from(steps, targets, have, slots), keys, 0.0)


def _distances(steps: Steps, sources: Sequence[int], slots: int) -> Steps:
    """(steps, sources): the rotation from a source to a step; 0 where it may not be used.

    A source is made from the sources before it alone, so that no two are made from one another.
    """
    result = (steps[:, None] - np.array(sources)[None, :]) % slots
    for place, source in enumerate(sources):
        result[steps == source, place:] = 0
    return np.asarray(result)


def _covering(steps: Steps, sources: Sequence[int], have: NDArray[np.bool_], slots: int) -> frozenset[int]:
    """New keys with which every step is made from some source: that first which serves most steps."""
    distances = _distances(steps, sources, slots)
    distances = distances[~have[distances].any(axis=1)]
    keys = set()
    while len(distances):
        served = np.bincount(distances.ravel(), minlength=slots)
        served[0] = 0
        best = int(served.argmax())
        keys.add(best)
        distances = distances[~(distances == best).any(axis=1)]
    return frozenset(keys)


def _made_from(steps: Steps, sources: Sequence[int], have: NDArray[np.bool_], slots: int) -> dict[int, int]:
    """By step, the first source that it can be made from; without those that the input serves."""
    usable = have[_distances(steps, sources, slots)]
    first = usable.argmax(axis=1)
    return {int(step): sources[place] for step, place in zip(steps.tolist(), first.tolist(), strict=True) if place}
