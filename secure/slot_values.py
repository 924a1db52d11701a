"""What the slots of every value really hold on calibration images, partial sums in slots without a feature included. Pure.

A table whose result is partial leaves sums of other rows between its features. Nobody reads them, but they take room in the modulus and
meet the rounding errors of weights, so both are computed with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from secure.diagonals import apply_table
from secure.draft import Draft, Evidence
from secure.packing import spread

Array = NDArray[np.float64]

#: Images held in slots at once.
CHUNK_IMAGES = 8


def stage_slots(draft: Draft, evidence: Evidence) -> Iterator[tuple[int, Array]]:
    """(stage, its affine value (images, ciphertexts, slots)) in order; needs arranged stages."""
    atoms = [spread(evidence.atoms[0].T, draft.atom_maps[0])]
    for index, stage in enumerate(draft.stages):
        table = draft.tables[index]
        if table.partial:
            value = apply_table(table, {atom: atoms[atom] for atom in stage.maps})
            value = value + spread(stage.constant, table.output_map)
        else:
            value = spread(evidence.values[index].T, table.output_map)
        yield index, value
        if stage.squared:
            atoms.append(value**2)


def atom_powers(draft: Draft, evidence: Evidence) -> tuple[Array, ...]:
    """By atom, the mean square over the images of every slot, (ciphertexts, slots)."""
    features = [np.mean(atom**2, axis=1) for atom in evidence.atoms]
    if not any(table.partial for table in draft.tables):
        return tuple(spread(power, places) for power, places in zip(features, draft.atom_maps, strict=True))
    powers = [spread(features[0], draft.atom_maps[0])] + [np.zeros(places.shape) for places in draft.atom_maps[1:]]
    for part in _chunks(evidence):
        squared = (value for index, value in stage_slots(draft, part) if draft.stages[index].squared)
        for atom, value in enumerate(squared, start=1):
            powers[atom] += np.sum(value**4, axis=0) / evidence.outputs.shape[1]
    return tuple(powers)


def atom_slots(draft: Draft, evidence: Evidence) -> tuple[Array, ...]:
    """By atom, (images, ciphertexts, slots)."""
    squares = [value**2 for index, value in stage_slots(draft, evidence) if draft.stages[index].squared]
    return (spread(evidence.atoms[0].T, draft.atom_maps[0]), *squares)


def chosen_images(evidence: Evidence, images: Sequence[int]) -> Evidence:
    """The evidence of these images only."""
    chosen = list(images)
    return Evidence(tuple(a[:, chosen] for a in evidence.atoms), tuple(v[:, chosen] for v in evidence.values))


def _chunks(evidence: Evidence) -> Iterator[Evidence]:
    images = range(evidence.outputs.shape[1])
    for start in range(0, len(images), CHUNK_IMAGES):
        yield chosen_images(evidence, images[start : start + CHUNK_IMAGES])
