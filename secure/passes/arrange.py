"""Pass 1, layout: a slot map for the input and for every stage's result, and every stage's map as diagonals.

A stage that keeps positions (convolutions, pools) puts its result on the input's raster, one channel a block; any other stage
is dense: row s mod period in slot s. The input is laid out for the stage that reads it first, without features that no weight
reads: the client may send any map.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from compress.errors import SlotOverflowError
from secure.diagonals import DiagonalTable, folded_table, placed_table
from secure.draft import Draft
from secure.headroom import largest_coefficients
from secure.packing import SlotMap, fanned_map, grid_map, least_share, next_power_of_two, replicated_grid_map
from secure.stages import Grid, Stage

#: More ciphertexts than this for one value means hours, not a plan.
MAX_CIPHERTEXTS = 64
#: A client repeats its channels, one a ciphertext, when it has no more than this many.
MAX_REPEATED_CHANNELS = 3


def arrange(draft: Draft) -> Draft:
    """Fill atom_maps, tables and coefficients.

    Raises: SlotOverflowError naming the layer whose value is too wide.
    """
    raster = _raster(draft.stages)
    for stage in draft.stages:
        _check_width(stage, raster, draft.choice.slots)
    offers = [(_table(draft.stages[0], {0: source}, raster), source) for source in _input_maps(draft, raster)]
    first, source = min(offers, key=lambda offer: len(offer[0].diagonals))
    tables, maps = [first], [source, first.output_map]
    for stage in draft.stages[1:]:
        tables.append(_table(stage, {atom: maps[atom] for atom in stage.maps}, raster))
        maps.append(tables[-1].output_map)
    atom_count = 1 + sum(stage.squared for stage in draft.stages)
    laid_out = replace(draft, atom_maps=tuple(maps[:atom_count]), tables=tuple(tables))
    return replace(laid_out, coefficients=largest_coefficients(laid_out))


def _table(stage: Stage, sources: dict[int, SlotMap], raster: tuple[int, ...]) -> DiagonalTable:
    slots = sources[next(iter(sources))].shape[1]
    if stage.grid is not None and _fits(raster, slots):
        return placed_table(stage.maps, sources, grid_map(stage.grid, raster, slots))
    return folded_table(stage.maps, sources, stage.size)


def _raster(stages: tuple[Stage, ...]) -> tuple[int, ...]:
    """The raster every grid fits on: the largest extent along each axis, the input's included; one unit without grids."""
    grids = [stage.grid for stage in stages if stage.grid is not None]
    extents = [grid.extent for grid in grids] + [grid.origin[1:] for grid in grids]
    return tuple(max(axis) for axis in zip(*extents, strict=True)) if extents else (1,)


def _fits(raster: tuple[int, ...], slots: int) -> bool:
    return next_power_of_two(prod(raster)) <= slots


def _input_maps(draft: Draft, raster: tuple[int, ...]) -> list[SlotMap]:
    """Layouts of the input to choose from. For a dense layer: all features, or only those that some weight reads; as many a block
    as needed, or a power of two, which is where pruned residue classes leave whole diagonals empty."""
    first, slots = draft.stages[0], draft.choice.slots
    if first.grid is None or not _fits(raster, slots):
        everything, read = np.arange(draft.evidence.atoms[0].shape[0]), _read_inputs(draft.stages)
        sets = [everything] if len(read) == len(everything) else [everything, read]
        maps = []
        for features in sets:
            share = least_share(len(features), first.size, slots) if next_power_of_two(first.size) < slots else 1
            maps += [fanned_map(features, first.size, slots, size) for size in {share, next_power_of_two(share)}]
        return maps
    origin = first.grid.origin
    grid = Grid(origin[0], origin[1:], (1,) * len(origin[1:]), origin)
    return [(replicated_grid_map if grid.channels <= MAX_REPEATED_CHANNELS else grid_map)(grid, raster, slots)]


def _read_inputs(stages: tuple[Stage, ...]) -> NDArray[np.int64]:
    """The input features that some weight reads: nobody needs to encrypt the others."""
    columns = [stage.maps[0].indices[stage.maps[0].data != 0] for stage in stages if 0 in stage.maps]
    return np.unique(np.concatenate(columns))


def _check_width(stage: Stage, raster: tuple[int, ...], slots: int) -> None:
    needed = -(-stage.size // slots)
    if stage.grid is not None and _fits(raster, slots):
        needed = -(-stage.grid.channels // (slots // next_power_of_two(prod(raster))))
    if needed > MAX_CIPHERTEXTS:
        raise SlotOverflowError(
            stage.layer,
            f"its {stage.size} values need {needed} ciphertexts of {slots} slots; at most {MAX_CIPHERTEXTS} are allowed; "
            "reduce channels or resolution (a stride or a pool before it)",
        )
