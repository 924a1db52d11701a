"""Trimming: remove the units of a pruned network that no later stage reads or that depend on no input. Pure.

The other units move together: if 250 units of a layer of 300 are left, the layer fills a period of 256 slots instead of
512. A unit that depends on no input is a constant, and its square is added to the constants of the stages that read it.
In stages with positions, only whole channels are removed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secure.stages.pairs import activated
from secure.stages.stages import Stage

Kept = NDArray[np.bool_]


def trimmed(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Stages with the same outputs and fewer units. Every stage keeps at least one unit."""
    while True:
        smaller = _once(stages)
        if smaller is None:
            return stages
        stages = smaller


def _once(stages: tuple[Stage, ...]) -> tuple[Stage, ...] | None:
    """The stages with one of them trimmed: the last one that can be. None if none can be trimmed."""
    for index in range(len(stages) - 2, -1, -1):
        kept = _kept(stages, index)
        if not kept.all():
            return _without(stages, index, kept)
    return None


def _kept(stages: tuple[Stage, ...], index: int) -> Kept:
    """(atom_size,): which units stay: those that are read and depend on an input, at least one. A product depends on an
    input if one of its factors does.

    In a stage with positions, all units of a channel stay if one of them does. Rows that are ordered by tokens stay,
    as their order is where they lie.
    """
    stage = stages[index]
    if stage.tokens:
        return np.ones(stage.atom_size, dtype=bool)
    read = np.zeros(stage.atom_size, dtype=bool)
    for reader in stages:
        if index + 1 in reader.maps:
            read[reader.maps[index + 1].indices[reader.maps[index + 1].data != 0]] = True
    reached = np.zeros(stage.size, dtype=bool)
    for matrix in stage.maps.values():
        reached |= np.diff(matrix.indptr) > 0
    if stage.paired:
        reached = reached[: stage.atom_size] | reached[stage.atom_size :]
    kept = read & reached
    if not kept.any():
        kept[int(np.argmax(2 * reached + read))] = True  # one that depends on an input, if there is one
    if stage.grid is None:
        return kept
    channels = kept.reshape(stage.grid.channels, -1).any(axis=1)
    return np.repeat(channels, stage.atom_size // stage.grid.channels)


def _without(stages: tuple[Stage, ...], index: int, kept: Kept) -> tuple[Stage, ...]:
    """The stages without the units of one stage that are not kept. Its readers take over the squares of constants."""
    atom, stage, result = index + 1, stages[index], []
    rows = np.concatenate([kept, kept]) if stage.paired else kept
    # the square of every removed unit that is a constant; others are removed as no stage reads them
    unreached = np.where(kept, 0.0, activated(stage.constant, stage.making))
    for matrix in stage.maps.values():
        depends = np.diff(matrix.indptr) > 0
        unreached[depends[: stage.atom_size] | depends[-stage.atom_size :]] = 0.0
    for position, other in enumerate(stages):
        if position == index:
            grid = stage.grid
            if grid is not None:
                positions = stage.atom_size // grid.channels
                grid = replace(grid, channels=int(kept.sum()) // positions)
            maps = {source: matrix[rows] for source, matrix in stage.maps.items()}
            result.append(replace(stage, maps=maps, constant=stage.constant[rows], grid=grid))
        elif atom in other.maps:
            matrix = other.maps[atom]
            constant = other.constant + matrix @ unreached
            result.append(replace(other, maps={**other.maps, atom: matrix[:, kept]}, constant=constant))
        else:
            result.append(other)
    return tuple(result)
