"""Pass 3, levels: the level of every stage, and after which squares the modulus is divided.

A stage works at the lowest level of the atoms that it reads. Higher atoms drop primes first, which costs nothing. One
rescale after a square removes the growth of both the square and the product before it. All rescales of a draft divide
by one prime, or all by two in a row where one prime would be too small.
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
    below = [0]  # levels below the input's, by atom
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
