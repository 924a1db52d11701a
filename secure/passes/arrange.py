"""Pass 1, layout: choose a slot map for the input and for every stage's result, and write every map as diagonals.

Every value has several possible layouts (`secure.drafting.layouts`), each with a predicted cost
(`secure.drafting.stage_cost`). A beam search goes through the stages in order. At every stage it keeps the cheapest
sequences of layouts so far, and extends each of them by every layout of the next stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from compress.errors import SlotOverflowError
from compress.network import Shape
from secure.bounds.headroom import largest_coefficients
from secure.drafting.doubling import doubled_layouts
from secure.drafting.draft import Draft, Offer
from secure.drafting.layouts import first_layouts, fits_raster, next_layouts, raster_extent
from secure.drafting.placed import Placed, Source
from secure.drafting.splits import split_table
from secure.drafting.stage_cost import stage_kernels, stage_work
from secure.kernels.engine import lone_operation_kernels
from secure.layout.diagonals import DiagonalTable
from secure.layout.factors import atom_map
from secure.layout.packing import next_power_of_two
from secure.plan import Kind
from secure.stages.stages import Stage

#: The most ciphertexts per value. A plan with more would run for hours.
MAX_CIPHERTEXTS = 64
#: A layout with values carried twice is less precise, so it is taken for at most this share of the time without.
MOST_DOUBLED = 0.9
#: How many of the cheapest sequences of layouts are kept from stage to stage.
BEAM = 3


@dataclass(frozen=True)
class _Sequence:
    """The layouts of the first stages.

    sources: where the input lies, then where the result of each of these stages lies. tables, offers: one entry per
    stage. milliseconds: the predicted time of these stages,
    and of sending the input where round trips count.
    """

    sources: tuple[Source, ...]
    tables: tuple[DiagonalTable, ...] = ()
    offers: tuple[tuple[Offer, ...], ...] = ()
    milliseconds: float = 0.0

    def followed_by(self, stage: Stage, priced: Sequence[tuple[Placed, float]]) -> Iterator[_Sequence]:
        """This sequence with one more stage, once for each of its layouts. priced: (layout, milliseconds) of all."""
        for placed, milliseconds in priced:
            places = atom_map(placed.table, stage.making)
            result = Source(places, placed.blocks, stage.grid, placed.multiplexed)
            offers = tuple(Offer(other.layout, cost, other is placed) for other, cost in priced)
            yield _Sequence(
                (*self.sources, result),
                (*self.tables, placed.table),
                (*self.offers, offers),
                self.milliseconds + milliseconds,
            )


def arrange(draft: Draft) -> Draft:
    """Fill atom_maps, tables, offers, coefficients and value_coefficients.

    Raises: SlotOverflowError naming the layer whose value is too wide.
    """
    raster = raster_extent(draft.stages)
    for stage in draft.stages:
        _check_width(stage, raster, draft.choice.slots)
    draft.progress(draft.stages[0].layer, 0.0)
    firsts = [
        (Source(source), placed, _milliseconds(draft, 0, placed.table)) for source, placed in first_layouts(draft)
    ]
    offers = [(placed, cost) for _, placed, cost in firsts]
    # a layout of the first stage belongs to one layout of the input; the others are listed as offers only
    found = [
        one
        for source, placed, _ in firsts
        for one in _Sequence((source,), milliseconds=_sent(draft, source)).followed_by(draft.stages[0], offers)
        if one.tables[0] is placed.table
    ]
    for index in range(1, len(draft.stages)):
        draft.progress(draft.stages[index].layer, index / len(draft.stages))
        kept = sorted(found, key=lambda one: one.milliseconds)[:BEAM]
        found = [longer for one in kept for longer in one.followed_by(draft.stages[index], _priced(draft, index, one))]
    if not found:
        raise SlotOverflowError(
            draft.stages[0].layer, f"no layout of its input fits {draft.choice.slots} slots; use a larger ring"
        )
    best = min(found, key=lambda one: one.milliseconds)
    atom_count = 1 + sum(stage.squared for stage in draft.stages)
    maps = tuple(source.slot_map for source in best.sources[:atom_count])
    laid_out = replace(draft, atom_maps=maps, tables=best.tables, offers=best.offers)
    squares, values = largest_coefficients(laid_out)
    return replace(laid_out, coefficients=squares, value_coefficients=values)


def _priced(draft: Draft, index: int, before: _Sequence) -> list[tuple[Placed, float]]:
    """(layout, milliseconds) for every layout of a stage that reads values laid out as in `before`."""
    sources = {atom: before.sources[atom] for atom in draft.stages[index].maps}
    priced = []
    for placed in next_layouts(draft, index, sources):
        milliseconds = _milliseconds(draft, index, placed.table)
        priced.append((placed, milliseconds))
        for twice in doubled_layouts(placed) if draft.choice.doubled else ():
            cost = _milliseconds(draft, index, twice.table)
            if cost <= MOST_DOUBLED * milliseconds:
                priced.append((twice, cost))
    return priced


def _milliseconds(draft: Draft, index: int, table: DiagonalTable) -> float:
    """Predicted time of a stage, its square included. Levels are not chosen yet: one prime per square is assumed."""
    degree, level = draft.choice.degree, 1 + sum(later.squared for later in draft.stages[index:])
    switching = draft.expected_switching
    work = stage_work(table, split_table(draft, table, index), draft.choice)
    stage = draft.stages[index]
    made = len(atom_map(table, stage.making)) * (
        (stage.power == 2) + (table.pairing > 0)
    )  # and the rotation of a factor
    square = lone_operation_kernels(Kind.RELINEARIZE, level, degree, switching)
    return draft.times.milliseconds(stage_kernels(work, level, degree, switching) + square.times(made))


def _sent(draft: Draft, source: Source) -> float:
    """Predicted time of bringing the input to the server in this layout; 0 where the plan's time alone counts."""
    if not draft.round_trip:
        return 0.0
    level = 1 + sum(stage.squared for stage in draft.stages)
    ciphertexts = len(source.slot_map) // draft.choice.planes
    return draft.requests.input_milliseconds(ciphertexts, level, draft.choice.degree, draft.choice.prime_bits)


def _check_width(stage: Stage, raster: Shape, slots: int) -> None:
    """Check that the stage's value fits MAX_CIPHERTEXTS ciphertexts.

    Raises: SlotOverflowError.
    """
    needed = -(-stage.atom_size // slots)
    if stage.grid is not None and fits_raster(raster, slots):
        needed = -(-stage.grid.channels // (slots // next_power_of_two(prod(raster))))
    needed *= 1 + stage.paired
    if needed > MAX_CIPHERTEXTS:
        raise SlotOverflowError(
            stage.layer,
            f"its {stage.size} values need {needed} ciphertexts of {slots} slots; "
            f"at most {MAX_CIPHERTEXTS} are allowed; "
            "reduce channels or resolution (a stride or a pool before it)",
        )
