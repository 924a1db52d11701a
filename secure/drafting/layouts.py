"""The possible layouts of the input and of every stage's result. `secure.passes.arrange` takes the cheapest. Pure.

    input    all features, or only those that some weight reads; on the raster, or for a convolution tap by tap
    dense    row s mod period in slot s; or the rows in shares, one for each copy of what the stage reads
    blocks   a convolution of a value in blocks gives blocks; where pooling follows, the positions of a window go into
             different quarters
    raster   any other stage with positions puts its result on the input's raster, one channel per block
    multiplexed  a convolution of values on the raster may fill the gaps that strides leave with other channels

The client may send the input in any layout. `Choice.planes` says whether a slot carries one feature or two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from compress.network import Shape
from secure.drafting.draft import Draft
from secure.drafting.factors import apart_layout, in_one_layout, placed_factors, widened, with_stage
from secure.drafting.placed import Placed, Source
from secure.drafting.tokens import Summed, summed_sources, token_input
from secure.layout.block_tables import block_table, shifted_weights
from secure.layout.blocks import Blocks, PositionPlaces, compact_places, pooled_columns, pooling_window
from secure.layout.diagonals import folded_by_client, folded_table, placed_table
from secure.layout.multiplexed import Multiplexed
from secure.layout.packing import (
    EMPTY,
    SlotMap,
    fanned_map,
    grid_map,
    in_planes,
    least_share,
    next_power_of_two,
    period_of,
    replicated_grid_map,
)
from secure.layout.taps import Taps, stage_taps, straight_tap_blocks, tap_blocks
from secure.layout.window_tables import window_table
from secure.stages.stages import Grid, Stage

#: On the raster, an input of at most this many channels is sent with one channel per ciphertext, repeated in every
#: block.
MAX_REPEATED_CHANNELS = 3

#: A network with skips and more multiply-adds than this is laid out multiplexed alone. The other layouts are made entry
#: by entry, and no other keeps positions where values are added up.
MOST_ENTRIES = 1_500_000


def first_layouts(draft: Draft) -> Iterator[tuple[SlotMap, Placed]]:
    """(slot map of the input, the first stage laid out for it), one by one.

    Slot maps are (ciphertexts * planes, slots): the planes of one ciphertext are rows that follow one another.
    """
    first, slots = draft.stages[0], draft.choice.slots
    if first.paired:
        wide, half = widened(first)
        for places, placed in first_layouts(with_stage(draft, 0, wide)):
            one = in_one_layout(placed, first, half)
            if one is not None:
                yield places, one
    raster = raster_extent(draft.stages)
    if first.grid is None or not fits_raster(raster, slots):
        ordered = token_input(first, slots)
        if ordered is None:
            yield from _dense_inputs(draft)
        elif draft.choice.planes == 1:
            words = f"{draft.evidence.atoms[0].shape[0]} inputs, by {first.tokens} tokens"
            yield ordered, placed_factors(words, first, folded_table, {0: ordered}, first.atom_size)
        return
    large = is_large(draft.stages)
    if draft.choice.planes == 1 and (large or adds_up(draft.stages)):
        input_ = Multiplexed(_input_grid(first.grid), raster, slots)
        layouts = _factors if first.paired else _multiplexed
        for placed in layouts(draft, 0, {0: Source(input_.slot_map, multiplexed=input_)}):
            yield input_.slot_map, placed
    if large:
        return
    if draft.choice.planes == 1:
        grid = _input_grid(first.grid)
        repeated = grid.channels <= MAX_REPEATED_CHANNELS
        maps = [replicated_grid_map] * repeated
        if not repeated or draft.round_trip:  # fewer ciphertexts, and more diagonals
            maps.append(grid_map)
        for source_map in maps:
            source = source_map(grid, raster, slots)
            words = f"on the raster, {len(source)} ciphertexts"
            target = grid_map(first.grid, raster, slots)
            yield source, placed_factors(words, first, placed_table, {0: source}, target)
    if not first.paired:
        yield from _tap_by_tap(draft)


def adds_up(stages: Sequence[Stage]) -> bool:
    """Whether some stage with positions adds up what it reads of several values, as after a skip."""
    return any(stage.grid is not None and len(stage.maps) > 1 for stage in stages)


def is_large(stages: Sequence[Stage]) -> bool:
    """Whether every layout but the multiplexed one would take too long to make."""
    return adds_up(stages) and sum(matrix.nnz for stage in stages for matrix in stage.maps.values()) > MOST_ENTRIES


def _input_grid(grid: Grid) -> Grid:
    """The grid of the input whose raster a grid lies on."""
    return Grid(grid.origin[0], grid.origin[1:], (1,) * len(grid.origin[1:]), grid.origin)


def next_layouts(draft: Draft, index: int, sources: Mapping[int, Source]) -> Iterator[Placed]:
    """The layouts of a stage after the first. sources: where each atom that the stage reads lies."""
    if index == len(draft.stages) - 1:  # the client must get outputs and zeros, unless it folds
        for placed in _stage_layouts(draft, index, sources, "client" if draft.client_folds else "server"):
            if draft.client_folds and placed.table.folds:
                words = f"{placed.layout}, folded by the client"
                yield replace(placed, layout=words, table=folded_by_client(placed.table))
            else:
                yield placed
    else:
        yield from _stage_layouts(draft, index, sources, None)


def _stage_layouts(draft: Draft, index: int, sources: Mapping[int, Source], folder: str | None) -> Iterator[Placed]:
    """The same, with all folds on the server. folder: who folds the last stage; None for any other stage."""
    stage = draft.stages[index]
    if stage.paired:
        yield from _factors(draft, index, sources)
        return
    only = next(iter(sources.values())) if len(sources) == 1 else None
    if only is not None and only.blocks is not None and only.grid is not None:
        yield from _from_blocks(stage, next(iter(sources)), only.blocks, only.grid, folder)
        return
    found = list(_multiplexed(draft, index, sources))
    if found:
        yield from found
        return
    maps = {atom: source.slot_map for atom, source in sources.items()}
    raster, slots = raster_extent(draft.stages), draft.choice.slots
    if stage.grid is not None and fits_raster(raster, slots):
        yield Placed("on the raster", placed_table(stage.maps, maps, grid_map(stage.grid, raster, slots)))
    else:
        read = summed_sources(stage.maps, maps) if stage.tokens else Summed(stage.maps, maps, {})
        for groups in _group_counts(read.sources, stage.size, folder):
            table = folded_table(read.maps, read.sources, stage.size, groups)
            yield Placed(_dense_words(groups), replace(table, presums=read.presums))


def _factors(draft: Draft, index: int, sources: Mapping[int, Source]) -> Iterator[Placed]:
    """The layouts of a stage of two factors: side by side in one ciphertext, and each in ciphertexts of its own."""
    stage = draft.stages[index]
    wide, half = widened(stage)
    for placed in _stage_layouts(with_stage(draft, index, wide), index, sources, None):
        one = in_one_layout(placed, stage, half)
        if one is not None:
            yield one
    halves = (_stage_layouts(with_stage(draft, index, own), index, sources, None) for own in stage.halves)
    for first, second in zip(*halves, strict=False):
        both = apart_layout(first, second)
        if both is not None:
            yield both


def _multiplexed(draft: Draft, index: int, sources: Mapping[int, Source]) -> Iterator[Placed]:
    """The multiplexed layout of a stage, if it is a convolution of multiplexed values."""
    stage, lie = draft.stages[index], {}
    for atom, source in sources.items():
        if source.multiplexed is not None:
            lie[atom] = source.multiplexed
    if stage.grid is None or len(lie) < len(sources):
        return
    windows = {}
    for atom, own in lie.items():
        window = stage.window(atom, own.grid)
        if window is None:
            return
        windows[atom] = window
    target = Multiplexed(stage.grid, raster_extent(draft.stages), draft.choice.slots)
    taps = ", ".join("x".join(map(str, window.taps)) for window in windows.values())
    cells = prod(target.cells)
    words = f"multiplexed, windows {taps}, {target.channel_blocks} blocks of {target.block} with {cells} channels each"
    yield Placed(words, window_table(windows, lie, target), multiplexed=target)


def raster_extent(stages: tuple[Stage, ...]) -> Shape:
    """The raster that every grid fits on: the largest extent along each axis, the input's included.

    (1,) for a network without positions.
    """
    grids = [stage.grid for stage in stages if stage.grid is not None]
    extents = [grid.extent for grid in grids] + [grid.origin[1:] for grid in grids]
    return tuple(max(axis) for axis in zip(*extents, strict=True)) if extents else (1,)


def fits_raster(raster: Shape, slots: int) -> bool:
    """Whether one channel on this raster, padded to a power of two, fits into a ciphertext."""
    return next_power_of_two(prod(raster)) <= slots


def _dense_inputs(draft: Draft) -> Iterator[tuple[SlotMap, Placed]]:
    """Layouts of the input of a dense first stage: all features or those that are read, with two sizes of shares each.

    A share is what one block of slots holds (`fanned_map`): as little as possible, or the next power of two.
    """
    first, slots, planes = draft.stages[0], draft.choice.slots, draft.choice.planes
    everything, read = np.arange(draft.evidence.atoms[0].shape[0]), _read_inputs(draft.stages)
    rows = first.atom_size
    block = next_power_of_two(rows)
    for features in [everything] if len(read) == len(everything) else [everything, read]:
        per_plane = -(-len(features) // planes)
        share = least_share(per_plane, rows, slots) if block < slots else 1
        for size in sorted({share, next_power_of_two(share)}):
            # The first plane holds whole shares. A feature then meets a row in the same diagonal, whichever plane
            # carries it.
            whole = min(len(features), max(per_plane, size * (slots // block)))
            fanned = fanned_map(np.arange(whole), rows, slots, size)
            source = in_planes(features, planes, fanned, whole)
            words = f"{len(features)} inputs, {size} per block of {block} slots"
            yield source, placed_factors(words, first, folded_table, {0: source}, rows)


def _read_inputs(stages: tuple[Stage, ...]) -> NDArray[np.int64]:
    """The input features that some weight reads, in ascending order. The others need not be encrypted."""
    columns = [stage.maps[0].indices[stage.maps[0].data != 0] for stage in stages if 0 in stage.maps]
    return np.unique(np.concatenate(columns))


def _tap_by_tap(draft: Draft) -> Iterator[tuple[SlotMap, Placed]]:
    """Tap-by-tap layouts of the input of a convolution, with and without quarters for pooling.

    There are none unless the first stage alone reads the input, and stages that read its square read nothing else.
    """
    first = draft.stages[0]
    taps = stage_taps(first)
    readers = [stage for stage in draft.stages[1:] if 1 in stage.maps]
    alone = all(set(stage.maps) == {1} for stage in readers)
    if taps is None or first.grid is None or not alone or any(0 in stage.maps for stage in draft.stages[1:]):
        return
    windows = {1}
    if len(readers) == 1 and readers[0].maps[1].shape[1] == first.size:
        windows.add(pooling_window(readers[0].maps[1], first.grid))
    for window in sorted(windows):
        places = compact_places(first.grid.sizes, window)
        found = _tapped(taps, places, draft.choice.slots, draft.choice.planes)
        if found is not None:
            yield found


def _tapped(taps: Taps, places: PositionPlaces, slots: int, planes: int) -> tuple[SlotMap, Placed] | None:
    """(slot map of the input, the convolution laid out) for one arrangement of positions; None if it does not fit."""
    channels, count = taps.weights.rows, -(-len(taps.inputs) // planes)
    if places.quarters > 1:  # rotations may not leave a quarter, so it has one block per channel, as large as fits
        block = slots // (places.quarters * next_power_of_two(channels))
    else:
        block = places.block
    if not places.block <= block <= slots:
        return None
    rows = straight_tap_blocks(count, channels) if places.quarters > 1 else tap_blocks(count, channels, slots // block)
    by_plane = in_planes(np.arange(len(taps.inputs)), planes, rows)
    table, result = block_table(taps.weights, 0, by_plane, block, places)
    source = Blocks(by_plane, block, places)
    inputs = np.where(by_plane[..., None] == EMPTY, EMPTY, taps.inputs[by_plane])
    words = f"{len(taps.inputs)} taps, {len(by_plane) // planes} ciphertexts"
    if places.quarters > 1:
        words += f", pooling windows in {places.quarters} quarters"
    return source.scattered(inputs.astype(np.int32), EMPTY), Placed(words, table, result)


def _from_blocks(stage: Stage, atom: int, blocks: Blocks, grid: Grid, folder: str | None) -> Iterator[Placed]:
    """Layouts of a stage that reads one value, which lies in blocks.

    A value in quarters is pooled first: its quarters are added up before the products (`DiagonalTable.presums`). If
    the result has positions that fit the blocks, the stage is a convolution between blocks, else a dense map of slots.
    """
    matrix, steps, presums = stage.maps[atom], grid.steps, {}
    if blocks.places.quarters > 1:
        window = round(blocks.places.quarters ** (1 / len(grid.sizes)))
        matrix, presums = pooled_columns(matrix, grid, window), {atom: blocks.quarter_folds}
        steps, blocks = tuple(step * window for step in steps), blocks.pooled(window)
    if stage.grid is not None and all(own % step == 0 for own, step in zip(stage.grid.steps, steps, strict=True)):
        stride = tuple(own // step for own, step in zip(stage.grid.steps, steps, strict=True))
        places = blocks.places.strided(stage.grid.sizes, stride)
        if places.block <= blocks.block and not places.collide:
            weights = shifted_weights(matrix, grid.channels, blocks.places, places)
            for groups in _group_counts({atom: blocks.channels}, stage.grid.channels, folder):
                table, result = block_table(weights, atom, blocks.channels, blocks.block, places, groups)
                words = f"{weights.shifts} taps of blocks of {blocks.block}, channels in {groups} shares"
                yield Placed(words, replace(table, presums=presums), result)
            return
    source = {atom: blocks.slot_map}
    for groups in _group_counts(source, stage.size, folder):
        table = folded_table({atom: matrix}, source, stage.size, groups)
        yield Placed(_dense_words(groups), replace(table, presums=presums))


def _dense_words(groups: int) -> str:
    return "rows one after the other" if groups == 1 else f"rows in {groups} shares"


def _group_counts(sources: Mapping[int, SlotMap], rows: int, folder: str | None) -> list[int]:
    """Into how many shares `rows` rows may be divided, in ascending order: powers of two from 1 on.

    There may be at most as many shares as copies of the sources. Rows of the last stage that the server folds, or rows
    that read values of several ciphertexts, are not divided. Where the client folds, a share may be a single row.
    """
    slots = next(iter(sources.values())).shape[1]
    period = max(period_of(source) for source in sources.values())
    if folder == "server" or any(len(source) > 1 for source in sources.values()):
        return [1]
    counts = [1]
    most = next_power_of_two(rows) if folder == "client" else rows
    while 2 * counts[-1] <= min(slots // period, most):
        counts.append(2 * counts[-1])
    return [groups for groups in counts if groups == 1 or next_power_of_two(-(-rows // groups)) <= period]
