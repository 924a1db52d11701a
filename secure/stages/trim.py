"""Units that a pruned network no longer needs leave its stages: nobody reads them, or nothing reaches them. Pure.

The survivors move together, so that a layer of 300 units that kept 250 fills a period of 256 slots instead of 512. A unit that nothing
reaches is a constant, and its square goes into the constants of whoever reads it. Where positions are kept, whole channels leave.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secure.stages.stages import Stage

Kept = NDArray[np.bool_]


def trimmed(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The same outputs from fewer units; a stage keeps at least one."""
    while True:
        smaller = _once(stages)
        if smaller is None:
            return stages
        stages = smaller


def _once(stages: tuple[Stage, ...]) -> tuple[Stage, ...] | None:
    """One stage less wide, the last one first; None when all are as narrow as they get."""
    for index in range(len(stages) - 2, -1, -1):
        kept = _kept(stages, index)
        if not kept.all():
            return _without(stages, index, kept)
    return None


def _kept(stages: tuple[Stage, ...], index: int) -> Kept:
    """(units,): those that are read and reached, whole channels of them where positions are kept."""
    stage = stages[index]
    read = np.zeros(stage.size, dtype=bool)
    for reader in stages:
        if index + 1 in reader.maps:
            read[reader.maps[index + 1].indices[reader.maps[index + 1].data != 0]] = True
    reached = np.zeros(stage.size, dtype=bool)
    for matrix in stage.maps.values():
        reached |= np.diff(matrix.indptr) > 0
    kept = read & reached
    if not kept.any():
        kept[int(np.argmax(2 * reached + read))] = True
    if stage.grid is None:
        return kept
    channels = kept.reshape(stage.grid.channels, -1).any(axis=1)
    return np.repeat(channels, stage.size // stage.grid.channels)


def _without(stages: tuple[Stage, ...], index: int, kept: Kept) -> tuple[Stage, ...]:
    atom, stage, result = index + 1, stages[index], []
    unreached = np.where(kept, 0.0, stage.constant**2)
    for matrix in stage.maps.values():
        unreached[np.diff(matrix.indptr) > 0] = 0.0  # dropped because nobody reads it
    for position, other in enumerate(stages):
        if position == index:
            grid = stage.grid
            if grid is not None:
                positions = stage.size // grid.channels
                grid = replace(grid, channels=int(kept.sum()) // positions)
            maps = {source: matrix[kept] for source, matrix in stage.maps.items()}
            result.append(replace(stage, maps=maps, constant=stage.constant[kept], grid=grid))
        elif atom in other.maps:
            matrix = other.maps[atom]
            constant = other.constant + matrix @ unreached
            result.append(replace(other, maps={**other.maps, atom: matrix[:, kept]}, constant=constant))
        else:
            result.append(other)
    return tuple(result)
