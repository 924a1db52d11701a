"""Pass 3, levels: choose the level of every stage, and where the plan rescales.

A stage works at the lowest level of the atoms that it reads. Higher atoms drop primes first, which costs nothing. The
product before a square and the square itself both make the scale larger. One rescale after the square takes both back.
All rescales of a draft divide by one prime, or all by two primes in a row, where one prime would be too small.

One rescale before the last square may do for a whole network. Scales grow up to it, and of the modulus only so much is
left as that square and the last products need. A few large primes then take the place of several small ones.

A rescale before every square takes back the product alone. The square leaves a scale of twice the bits to the next map,
which needs no more room for it, because only what is rescaled must fit its modulus. For activations of s bits and
weights of w bits a level then takes s + w bits in place of s + 2 w.
"""

from __future__ import annotations

from dataclasses import replace

from secure.drafting.draft import Draft, Rescaling


def place_rescales(draft: Draft) -> Draft:
    """Fill stage_levels, atom_levels, rescaled and divided."""
    squares = sum(stage.squared for stage in draft.stages)
    rescaling = draft.choice.rescaling
    last = {Rescaling.EVERY: squares, Rescaling.NOT_LAST: squares - 1}.get(rescaling, 0)
    primes = draft.choice.rescale_primes
    rescaled = tuple(primes * (stage.squared and index < last) for index, stage in enumerate(draft.stages))
    early = {Rescaling.BEFORE_LAST: squares - 1, Rescaling.BEFORE: 0}.get(rescaling, squares)  # the first such stage
    divided = tuple(primes * (stage.squared and index >= early) for index, stage in enumerate(draft.stages))
    below = [0]  # by atom, how many levels it lies below the input
    stage_below = []
    for stage, before, after in zip(draft.stages, divided, rescaled, strict=True):
        stage_below.append(max(below[atom] for atom in stage.maps))
        if stage.squared:
            below.append(stage_below[-1] + before + after)
    top = max(stage_below) + draft.choice.base_primes
    return replace(
        draft,
        rescaled=rescaled,
        divided=divided,
        stage_levels=tuple(top - depth for depth in stage_below),
        atom_levels=tuple(top - depth for depth in below),
    )
