"""The error that rounded plaintexts make in the outputs of a draft: exact, and the same in every run. Pure.

The weights of a plan are stored as float32 and encoded at a scale, which rounds the coefficients of their polynomials.
The error of every plaintext is fixed with the plan. So an input meets the same errors whenever it is sent, and inputs
that are alike meet nearly the same ones: these errors do not average out, neither over runs nor over inputs. They are
computed by running the layout in clear with the plaintexts as the encoder rounds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.drafting.draft import Draft
from secure.encoding import encoding_error
from secure.layout.diagonals import DiagonalKey, DiagonalTable, is_conjugated, plane_constants, turnable
from secure.layout.doubled import signs
from secure.layout.factors import made_slots
from secure.layout.packing import folded, read_slots, spread
from secure.plan import stored

Array = NDArray[np.float64]

#: How many numbers a block of rows holds, few enough for the processor's cache, and how many the diagonals that are
#: in memory at the same time.
BLOCK_NUMBERS, DIAGONAL_NUMBERS = 1 << 14, 1 << 23


def rounded_outputs(draft: Draft, inputs: Array) -> Array:
    """The outputs that a client reads, (outputs, rows), for flat inputs (rows, features), without any other error.

    draft: with its scales chosen.
    """
    atoms = [spread(inputs, draft.atom_maps[0])]
    atom_scales = [draft.input_scale, *(scale.atom for scale in draft.scales)]
    value = atoms[0]
    for stage, table, scale in zip(draft.stages, draft.tables, draft.scales, strict=True):
        read = {atom: atoms[atom] for atom in stage.maps}
        value = _rounded_map(table, read, draft.choice.planes, [scale.value / own for own in atom_scales if own])
        value += _rounded_constant(stage.constant, table, scale.value)
        if stage.squared:
            atoms.append(made_slots(value, table, stage.making))
    value = folded(value, draft.tables[-1].client_folds)
    places = read_slots(draft.tables[-1].output_map, draft.stages[-1].size)
    return np.asarray(value[:, places[:, 0], places[:, 1]].T)


def _rounded_map(table: DiagonalTable, atoms: Mapping[int, Array], planes: int, scales: Sequence[float]) -> Array:
    """What the table makes of the atoms, as `apply_table`, with rounded constants. scales: by atom, of constants."""
    rows, slots = len(next(iter(atoms.values()))), table.output_map.shape[1]
    result = np.zeros((rows, *table.output_map.shape))
    block = max(1, BLOCK_NUMBERS // slots)
    product = np.empty((block, slots))
    diagonals = _rounded_diagonals(table, planes, scales)
    while some := list(islice(diagonals, max(1, DIAGONAL_NUMBERS // slots))):
        for start in range(0, rows, block):
            part = slice(start, start + block)
            turned = {atom: turnable(folded(own[part], table.presums.get(atom, ()))) for atom, own in atoms.items()}
            total = result[part]
            for key, diagonal in some:
                read = turned[key.atom][:, key.input, key.rotation : key.rotation + slots]
                total[:, key.output] += np.multiply(read, diagonal, out=product[: len(read)])
    return folded(result, table.folds)


def _rounded_diagonals(
    table: DiagonalTable, planes: int, scales: Sequence[float]
) -> Iterator[tuple[DiagonalKey, Array]]:
    """The diagonals that the encoded constants of the table stand for. Giant steps turn a diagonal before it is
    encoded, which only permutes the coefficients that are rounded."""
    for key, constant in plane_constants(table, planes).items():
        kept: NDArray[Any] = stored(constant)
        kept = kept.astype(np.complex128 if np.iscomplexobj(kept) else np.float64)
        yield from plane_parts(table, key, kept + encoding_error(kept, scales[key.atom]), planes).items()


def _rounded_constant(constant: Array, table: DiagonalTable, scale: float) -> Array:
    """The slots that are added to a stage's value, (ciphertexts, slots)."""
    kept = stored(spread(constant, table.output_map)).astype(np.float64)
    return kept + np.stack([encoding_error(row, scale) for row in kept])


def plane_parts(
    table: DiagonalTable, key: DiagonalKey, constant: NDArray[Any], planes: int
) -> dict[DiagonalKey, Array]:
    """A constant of `plane_constants`, or its error, as the diagonals that it combines: the opposite of that function.

    In a conjugated table the conjugate is added later, which doubles the real part.
    """
    if not is_conjugated(table, planes):
        return {key: constant}
    if key.atom in table.doubled and np.iscomplexobj(constant):
        second = replace(key, rotation=(key.rotation + table.doubled[key.atom]) % table.slots)
        return {key: 2 * constant.real, second: -2 * signs(table.slots, key.rotation) * constant.imag}
    if key.atom != 0 or planes == 1:
        return {key: 2 * constant}
    first = replace(key, input=key.input * planes)
    return {first: 2 * constant.real, replace(first, input=first.input + 1): -2 * constant.imag}
