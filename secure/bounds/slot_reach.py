"""How far errors reach in the slots of a layout, in which every feature has copies. Pure.

As `secure.bounds.reach`, but with derivatives by slots instead of features. Two rows of a map may read two copies of
one feature, whose errors are then independent; folds make errors of copies equal; slots between features hold sums that
carry errors too. The layout and its rotations decide, so this is computed for each layout, on few images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.bounds.slot_values import stage_slots
from secure.bounds.sources import stage_rules
from secure.drafting.draft import Draft, Evidence, Split
from secure.layout.diagonals import DiagonalTable, is_conjugated
from secure.layout.doubled import signs
from secure.layout.factors import pulled_slots
from secure.layout.folds import FoldStyle, Move, fold_groups
from secure.layout.packing import folded, read_slots, unfolded

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Read:
    """What a stage reads of one atom: the derivatives of the outputs by its slots, and the reach, each by output.

    by_slot: (outputs, ciphertexts * planes, slots). moved, summed, rounding: (outputs,).
    """

    by_slot: Array
    moved: Array
    summed: Array
    rounding: Array


def slot_weights(draft: Draft, evidence: Evidence, outputs: Sequence[int]) -> Array:
    """The variance at the outputs per unit of each source of `secure.bounds.sources`, (sources, outputs, images)."""
    values, atoms = [], [np.zeros(0)]
    for _, made, value in stage_slots(draft, evidence):
        values.append(value)
        atoms = made
    return np.stack(
        [
            _image_weights(draft, [atom[image] for atom in atoms], [value[image] for value in values], outputs)
            for image in range(evidence.outputs.shape[1])
        ],
        axis=2,
    )


def _image_weights(draft: Draft, atoms: Sequence[Array], values: Sequence[Array], outputs: Sequence[int]) -> Array:
    """(sources, outputs) for one image; atoms, values: their slots, (ciphertexts * planes, slots)."""
    planes, style = draft.choice.planes, draft.choice.fold_style
    places = read_slots(draft.tables[-1].output_map, draft.stages[-1].size)[list(outputs)]
    by_value = np.zeros((len(outputs), *draft.tables[-1].output_map.shape))
    by_value[np.arange(len(outputs)), places[:, 0], places[:, 1]] = 1.0
    kind = np.complex128 if any(table.doubled for table in draft.tables) else np.float64
    by_atom = [np.zeros((len(outputs), *atom.shape), dtype=kind) for atom in atoms]
    rules = stage_rules(draft)
    result: list[list[Array]] = []
    made = len(atoms)
    for index in range(len(draft.stages) - 1, -1, -1):
        stage, table, split = draft.stages[index], draft.tables[index], draft.splits[index]
        square = np.zeros(len(outputs))
        if stage.squared:
            made -= 1
            square = _energy(by_atom[made])
            by_value = pulled_slots(values[index], by_atom[made], table, stage.making)
        conjugated = is_conjugated(table, planes)
        by_value = unfolded(by_value, table.client_folds)
        constant = _energy(by_value.real)  # encoded constants are real, and so are their errors
        switch, by_sum = _before(by_value, fold_groups(table.folds, conjugated, style))
        switch = switch + len(split.joined(split.giants)) * _energy(by_sum)
        by_product = by_sum / 2 if conjugated else by_sum  # the constants of such a table are halved
        own = [switch, constant, _energy(by_value)]  # a rescale of the value errs where the constant does
        for atom in stage.maps:
            read = _read(table, split, atom, by_product, atoms[atom], style)
            own += [read.moved, read.summed, rules[index].rounding[atom] * read.rounding]
            by_atom[atom] += read.by_slot
        result.append([*own, square])
    return np.stack([_energy(by_atom[0]), *(weight for stage in reversed(result) for weight in stage)])


def _read(table: DiagonalTable, split: Split, atom: int, by_product: Array, slots: Array, style: FoldStyle) -> _Read:
    """What one stage reads of one atom.

    by_product: derivatives by the slots of the sum of products. slots: of the atom.
    """
    presums, doubled = table.presums.get(atom, ()), table.doubled.get(atom, 0)
    squares = folded(slots, presums) ** 2
    energies = by_product.real**2
    by_baby: dict[tuple[int, int], Array] = {}  # by (input, baby step), derivatives by the slots of what it rotates
    rounding = np.zeros(len(by_product))
    for key, real in table.diagonals.items():
        if key.atom != atom:
            continue
        diagonal: NDArray[Any] = real
        place = table.product_key(key)
        baby, giant = split.parts[place.rotation]
        rounding += energies[:, key.output] @ np.roll(squares[key.input], -key.rotation)
        if place is not key:
            diagonal = 1j * signs(len(diagonal), place.rotation) * diagonal
        turned = np.roll(by_product[:, key.output] * diagonal, giant, axis=1)
        rotated = key.input, baby
        by_baby[rotated] = by_baby[rotated] + turned if rotated in by_baby else turned
    kind = np.complex128 if doubled or np.iscomplexobj(by_product) else np.float64
    by_slot, moved = np.zeros((len(by_product), *slots.shape), dtype=kind), np.zeros(len(by_product))
    for ciphertext in range(len(slots)):
        own = {baby: derivative for (number, baby), derivative in by_baby.items() if number == ciphertext}
        for step, source in reversed(split.made(own).items()):  # what others are made from comes after them
            derivative = own.pop(step)
            moved += _energy(derivative)
            turned = np.roll(derivative, step - source, axis=1)
            own[source] = own[source] + turned if source in own else turned
        by_slot[:, ciphertext] += own.get(0, 0.0)
    again = np.zeros(len(by_product))
    if doubled:
        again = _energy(by_slot)
        by_slot = by_slot + np.roll(-1j * signs(slots.shape[-1]) * by_slot, doubled, axis=-1)
    summed, by_slot = _before(by_slot, fold_groups(presums, False, style))
    return _Read(by_slot, moved, again + summed, rounding)


def _before(by_slot: Array, groups: Sequence[Sequence[Move]]) -> tuple[Array, Array]:
    """(the reach of the key switches of these groups, (outputs,); derivatives by the slots before the groups)."""
    switched = np.zeros(len(by_slot))
    for moves in reversed(groups):
        switched += sum(move.times for move in moves) * _energy(by_slot)
        if any(move.conjugated for move in moves):
            by_slot = by_slot.real  # adding the conjugate leaves no imaginary part of what was before
        by_slot = by_slot + sum(np.roll(by_slot, move.distance, axis=-1) for move in moves)
    return switched, by_slot


def _energy(derivatives: Array) -> Array:
    """The sum of squares for every output, (outputs,)."""
    axes = tuple(range(1, derivatives.ndim))
    if np.iscomplexobj(derivatives):
        return _energy(derivatives.real) + _energy(derivatives.imag)
    return np.asarray(np.sum(derivatives**2, axis=axes))
