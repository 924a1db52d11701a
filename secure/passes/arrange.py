"""Pass 1, layout: a slot map for the input and for every stage's result, and every stage's map as diagonals.

Several layouts of every value are priced (`secure.stage_cost`) and the cheapest sequences of them are followed from stage to stage:

    input   all features or only those that some weight reads, as densely as needed; or, for a convolution, tap by tap
    dense   row s mod period in slot s; or the rows shared out over the copies of what the stage reads
    raster  a stage that keeps positions puts its result on the input's raster, one channel a block

The client may send any map, with two features a slot where the choice says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from compress.errors import SlotOverflowError
from secure.diagonals import DiagonalTable, folded_table, placed_table, tapped_table
from secure.draft import Draft
from secure.engine_kernels import lone_operation_kernels
from secure.headroom import largest_coefficients
from secure.packing import (
    SlotMap,
    fanned_map,
    grid_map,
    in_planes,
    least_share,
    next_power_of_two,
    period_of,
    replicated_grid_map,
)
from secure.passes.choose_rotations import split_table
from secure.plan import Kind
from secure.stage_cost import stage_kernels, stage_work
from secure.stages import Grid, Stage
from secure.taps import compact_places, input_rows, stage_taps

#: More ciphertexts than this for one value means hours, not a plan.
MAX_CIPHERTEXTS = 64
#: A client repeats its channels, one a ciphertext, when it has no more than this many.
MAX_REPEATED_CHANNELS = 3
#: Sequences of layouts that are followed.
BEAM = 3


@dataclass(frozen=True)
class _Layout:
    """The maps and tables of the first stages, and what those stages cost. maps: of the input, then of every stage's result."""

    maps: tuple[SlotMap, ...]
    tables: tuple[DiagonalTable, ...]
    milliseconds: float


def arrange(draft: Draft) -> Draft:
    """Fill atom_maps, tables and coefficients.

    Raises: SlotOverflowError naming the layer whose value is too wide.
    """
    raster = _raster(draft.stages)
    for stage in draft.stages:
        _check_width(stage, raster, draft.choice.slots)
    layouts = [
        _Layout((source, table.output_map), (table,), _milliseconds(draft, 0, table))
        for source, table in _first_tables(draft, raster)
    ]
    for index in range(1, len(draft.stages)):
        layouts = [
            _Layout((*one.maps, table.output_map), (*one.tables, table), one.milliseconds + _milliseconds(draft, index, table))
            for one in sorted(layouts, key=lambda one: one.milliseconds)[:BEAM]
            for table in _tables(draft, index, one, raster)
        ]  # fmt: skip
    best = min(layouts, key=lambda one: one.milliseconds)
    atom_count = 1 + sum(stage.squared for stage in draft.stages)
    laid_out = replace(draft, atom_maps=best.maps[:atom_count], tables=best.tables)
    return replace(laid_out, coefficients=largest_coefficients(laid_out))


def _milliseconds(draft: Draft, index: int, table: DiagonalTable) -> float:
    """Predicted time of a stage, its square included, at the level it has if every square is rescaled."""
    degree, level = draft.choice.degree, 1 + sum(later.squared for later in draft.stages[index:])
    work = stage_work(table, split_table(draft, table, index), draft.choice.planes)
    outputs = table.output_map.shape[0]
    squares = lone_operation_kernels(Kind.RELINEARIZE, level, degree).times(outputs * draft.stages[index].squared)
    calls = work.multiplications + work.rotations
    return draft.times.milliseconds(stage_kernels(work, level, degree) + squares, calls=calls)


def _first_tables(draft: Draft, raster: tuple[int, ...]) -> Iterator[tuple[SlotMap, DiagonalTable]]:
    """Layouts of the input, rows of one ciphertext next to each other, with the first stage's table for each."""
    first, slots, planes = draft.stages[0], draft.choice.slots, draft.choice.planes
    if first.grid is None or not _fits(raster, slots):
        everything, read = np.arange(draft.evidence.atoms[0].shape[0]), _read_inputs(draft.stages)
        for features in [everything] if len(read) == len(everything) else [everything, read]:
            count = -(-len(features) // planes)
            share = least_share(count, first.size, slots) if next_power_of_two(first.size) < slots else 1
            for size in sorted({share, next_power_of_two(share)}):
                source = in_planes(features, planes, fanned_map(np.arange(count), first.size, slots, size))
                yield source, folded_table(first.maps, {0: source}, first.size)
        return
    if planes == 1:
        origin = first.grid.origin
        grid = Grid(origin[0], origin[1:], (1,) * len(origin[1:]), origin)
        repeated = grid.channels <= MAX_REPEATED_CHANNELS
        source = (replicated_grid_map if repeated else grid_map)(grid, raster, slots)
        yield source, placed_table(first.maps, {0: source}, grid_map(first.grid, raster, slots))
    yield from _tapped(draft)


def _tapped(draft: Draft) -> Iterator[tuple[SlotMap, DiagonalTable]]:
    """The input of a convolution tap by tap, where nobody else reads the input and the next stage does not need the raster."""
    first, slots, planes = draft.stages[0], draft.choice.slots, draft.choice.planes
    taps = stage_taps(first)
    reads_input = [0 in stage.maps for stage in draft.stages]
    if taps is None or first.grid is None or sum(reads_input) > 1:
        return
    block = next_power_of_two(prod(first.grid.sizes))
    channels = len(taps.weights)
    if block * next_power_of_two(channels) > slots:
        return
    count = -(-len(taps.inputs) // planes)
    blocks = in_planes(np.arange(len(taps.inputs)), planes, fanned_map(np.arange(count), channels, slots // block))
    places = compact_places(first.grid)
    yield input_rows(taps, blocks, places, block), tapped_table(taps.weights, blocks, places, block)


def _tables(draft: Draft, index: int, layout: _Layout, raster: tuple[int, ...]) -> Iterator[DiagonalTable]:
    """Ways to lay out a later stage, from the maps of what it reads."""
    stage, slots = draft.stages[index], draft.choice.slots
    sources = {atom: layout.maps[atom] for atom in stage.maps}
    if stage.grid is not None and _fits(raster, slots):
        yield placed_table(stage.maps, sources, grid_map(stage.grid, raster, slots))
        return
    last = index == len(draft.stages) - 1  # a client gets outputs and zeros, no partial sums
    copies = slots // max(period_of(source) for source in sources.values())
    single = all(len(source) == 1 for source in sources.values())
    groups = 1
    while groups == 1 or (not last and single and groups <= min(copies, stage.size)):
        if groups == 1 or next_power_of_two(-(-stage.size // groups)) <= slots // copies:
            yield folded_table(stage.maps, sources, stage.size, groups)
        groups *= 2


def _raster(stages: tuple[Stage, ...]) -> tuple[int, ...]:
    """The raster every grid fits on: the largest extent along each axis, the input's included; one unit without grids."""
    grids = [stage.grid for stage in stages if stage.grid is not None]
    extents = [grid.extent for grid in grids] + [grid.origin[1:] for grid in grids]
    return tuple(max(axis) for axis in zip(*extents, strict=True)) if extents else (1,)


def _fits(raster: tuple[int, ...], slots: int) -> bool:
    return next_power_of_two(prod(raster)) <= slots


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
