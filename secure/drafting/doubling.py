"""Layouts in which products do the work of two diagonals, since a ciphertext carries its value twice. Pure.

`secure.layout.doubled` says how. Any rotation may be that of the imaginary part. The best ones are differences between
many pairs of a table's rotations: then few products remain. Of those that leave equally few, the smallest and the
largest are tried, since one may pair baby steps and the other giant steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from secure.drafting.placed import Placed
from secure.layout.diagonals import DiagonalTable
from secure.layout.doubled import product_rotations

#: The fewest diagonals of an atom that is doubled: with fewer, the rotation and the conjugation cost more.
FEWEST_DIAGONALS = 16
#: How many of the most frequent differences are looked at, and the most rotations whose differences are counted.
FREQUENT_DIFFERENCES, MOST_ROTATIONS = 16, 1024


def doubled_layouts(placed: Placed) -> Iterator[Placed]:
    """A layout with the values that it reads carried twice, for a few rotations of the imaginary part."""
    table = placed.table
    choices = {atom: steps for atom in sorted(table.atoms - {0}) if (steps := _best_steps(table, atom))}
    if not choices:
        return
    for place in range(max(map(len, choices.values()))):
        doubled = {atom: steps[min(place, len(steps) - 1)] for atom, steps in choices.items()}
        yield replace(placed, layout=f"{placed.layout}, values twice", table=replace(table, doubled=doubled))


def may_gain(table: DiagonalTable) -> bool:
    """Whether some atom of a table has diagonals enough."""
    atoms = [key.atom for key in table.diagonals if key.atom]
    return any(atoms.count(atom) >= FEWEST_DIAGONALS for atom in {*atoms})


def _best_steps(table: DiagonalTable, atom: int) -> tuple[int, ...]:
    """The rotations with which the fewest products remain: the smallest and the largest; none for few diagonals."""
    rotations = np.array(sorted({key.rotation for key in table.diagonals if key.atom == atom}))
    if not FEWEST_DIAGONALS <= len(rotations) <= MOST_ROTATIONS:
        return ()
    slots = table.slots
    differences = (rotations[:, None] - rotations[None, :]) % slots
    found, counts = np.unique(differences[(differences > 0) & (differences <= slots // 2)], return_counts=True)
    tried = found[np.argsort(-counts, kind="stable")[:FREQUENT_DIFFERENCES]].tolist()
    products = {steps: _products(rotations.tolist(), steps, slots) for steps in tried}
    best = sorted(steps for steps, count in products.items() if count == min(products.values()))
    return tuple(dict.fromkeys((best[0], best[-1])))


def _products(rotations: list[int], steps: int, slots: int) -> int:
    return len({*product_rotations(rotations, steps, slots).values()})
