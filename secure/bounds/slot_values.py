"""The slots of every value on calibration images, including partial sums in slots without a feature. Pure.

A partial table (`DiagonalTable.partial`) leaves sums of other rows in slots between its features. No later stage uses
these sums. But they need room in the modulus, and they are multiplied with the rounding errors of weights. So the
bounds include them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from secure.drafting.draft import Draft, Evidence
from secure.layout.diagonals import apply_table
from secure.layout.factors import made_slots
from secure.layout.packing import folded, spread

Array = NDArray[np.float64]

#: How many images' slots are held in memory at the same time.
CHUNK_IMAGES = 8


def stage_slots(draft: Draft, evidence: Evidence) -> Iterator[tuple[int, list[Array], Array]]:
    """For each stage in order: (its index, slots of the atoms made before it, slots of its affine value).

    Slots are arrays (images, ciphertexts, slots). The input's are (images, ciphertexts * planes, slots).
    """
    atoms = [spread(evidence.atoms[0].T, draft.atom_maps[0])]
    for index, stage in enumerate(draft.stages):
        table = draft.tables[index]
        if table.partial:
            value = apply_table(table, {atom: atoms[atom] for atom in stage.maps})
            value = value + spread(stage.constant, table.output_map)
        else:
            value = spread(evidence.values[index].T, table.output_map)
        yield index, atoms, value
        if stage.squared:
            atoms = [*atoms, made_slots(value, table, stage.making)]


def source_powers(draft: Draft, evidence: Evidence) -> tuple[Mapping[int, Array], ...]:
    """For each stage and atom, the mean square over images of every slot that the products read.

    Arrays are (ciphertexts, slots), for the input (ciphertexts * planes, slots). Folds before the products are done.
    """
    if not any(table.partial or table.presums for table in draft.tables):
        powers = [
            spread(np.mean(atom**2, axis=1), places)
            for atom, places in zip(evidence.atoms, draft.atom_maps, strict=True)
        ]
        return tuple({atom: powers[atom] for atom in stage.maps} for stage in draft.stages)
    images = evidence.outputs.shape[1]
    totals: tuple[dict[int, Array], ...] = tuple({} for _ in draft.stages)
    for start in range(0, images, CHUNK_IMAGES):
        part = chosen_images(evidence, range(start, min(start + CHUNK_IMAGES, images)))
        for index, atoms, _ in stage_slots(draft, part):
            for atom in draft.stages[index].maps:
                read = folded(atoms[atom], draft.tables[index].presums.get(atom, ()))
                totals[index][atom] = totals[index].get(atom, 0.0) + np.sum(read**2, axis=0) / images
    return totals


def atom_slots(draft: Draft, evidence: Evidence) -> tuple[Array, ...]:
    """For each atom, its slots, (images, ciphertexts, slots); for the input (images, ciphertexts * planes, slots)."""
    *_, (_, atoms, _) = stage_slots(draft, evidence)
    return tuple(atoms)


def chosen_images(evidence: Evidence, images: Sequence[int]) -> Evidence:
    """The evidence on the images with these indices, in this order."""
    chosen = list(images)
    return Evidence(tuple(a[:, chosen] for a in evidence.atoms), tuple(v[:, chosen] for v in evidence.values))
