"""Pass 3, levels: choose the level of every stage, and after which squares the plan rescales.

A stage works at the lowest level of the atoms that it reads. Higher atoms drop primes first, which costs nothing. The
product before a square and the square itself both make the scale larger. One rescale after the square takes both back.
All rescales of a draft divide by one prime, or all by two primes in a row, where one prime would be too small.
"""

from __future__ import annotations

from dataclasses import replace

from secure.drafting.draft import Draft, Rescaling


def place_rescales(draft: Draft) -> Draft:
    """Fill stage_levels, atom_levels and rescaled."""
    squares = sum(stage.squared for stage in draft.stages)
    rescaling = draft.choice.rescaling
    last = {Rescaling.EVERY: squares, Rescaling.NOT_LAST: squares - 1, Rescaling.NEVER: 0}[rescaling]
    primes = draft.choice.rescale_primes
    rescaled = tuple(primes * (stage.squared and index < last) for index, stage in enumerate(draft.stages))
    below = [0]  # by atom, how many levels it lies below the input
    stage_below = []
    for stage, divided in zip(draft.stages, rescaled, strict=True):
        stage_below.append(max(below[atom] for atom in stage.maps))
        if stage.squared:
            below.append(stage_below[-1] + divided)
    top = max(stage_below) + draft.choice.base_primes
    return replace(
        draft,
        rescaled=rescaled,
        stage_levels=tuple(top - depth for depth in stage_below),
        atom_levels=tuple(top - depth for depth in below),
    )
