"""Where the noise of a draft comes from: the variance that every source has, from primes and scales. Pure.

The sources of a draft have one order, here and wherever their reach is given: the fresh input first, then by stage

    switch      a key switch after the products: giant steps, folds, the conjugation; in a slot of the stage's value
    constant    the plaintext that is added; in a slot of the value
    divided     a rescale before the square, and the rotation by `DiagonalTable.pairing`; in a slot of the value
    for each atom that the stage reads
        moved       a baby step; in a slot of what it rotates
        summed      a key switch of the folds before the products; in a slot of the atom
        rounding    a plaintext of weights; in a slot of the value, per unit of the square that it is multiplied with
    square      relinearization and rescale; in a slot of the square

`secure.bounds.reach` and `secure.bounds.slot_reach` say what one unit of each causes at the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secure.drafting.draft import Draft, StageScales
from secure.layout.diagonals import DiagonalTable, is_conjugated
from secure.layout.folds import fold_groups, switches_after_folds
from secure.noise import (
    encoding_variance,
    fresh_real_variance,
    planned_baby_variance,
    planned_key_switch_variance,
    rescale_variance,
)
from secure.params import Params

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StageRules:
    """How often the sources of a stage occur, per feature; independent of primes and scales.

    switches: key switches that reach a slot of the stage's value. moved: how many rotations in a row make a baby step,
    on average; 0 without baby steps. summed: for each atom, the key switches that its folds before the products add to
    a feature. rounding: for each atom, what the rounding of its constants adds, in units of that of real constants.
    """

    switches: float
    moved: float
    summed: Mapping[int, float]
    rounding: Mapping[int, float]


def stage_rules(draft: Draft) -> tuple[StageRules, ...]:
    """The rules of every stage of a draft whose rotations are split."""
    planes, style = draft.choice.planes, draft.choice.fold_style
    result = []
    for stage, table, split in zip(draft.stages, draft.tables, draft.splits, strict=True):
        conjugated = is_conjugated(table, planes)
        giants = len(split.joined(split.giants))
        # n folds add up 2^n features and leave a variance of 2^n - 1: in equal shares, 1 - 2^-n per feature
        # and a doubled value is rotated once more
        summed = {atom: 1 - 0.5 ** len(table.presums.get(atom, ())) + (atom in table.doubled) for atom in stage.maps}
        # Adding the conjugate doubles the real part of an error, so its variance is four times as large. Of the
        # variance of a complex constant's error, only half is in the real part.
        rounding = {atom: _rounding(table, atom, planes) if conjugated else 1.0 for atom in stage.maps}
        groups = fold_groups(table.folds, conjugated, style)
        switches = switches_after_folds(giants, groups) * 2.0 ** len(table.client_folds)
        result.append(StageRules(switches, split.rotations_per_baby, summed, rounding))
    return tuple(result)


def _rounding(table: DiagonalTable, atom: int, planes: int) -> float:
    """What rounding the constants of an atom adds to a conjugated table, in units of that of real constants."""
    if atom == 0 and planes > 1:
        return 2.0
    keys = [key for key in table.diagonals if key.atom == atom]
    alone = 2 * len({table.product_key(key) for key in keys}) - len(keys)  # products that do the work of one diagonal
    return 2.0 + 2.0 * alone / max(len(keys), 1)


def source_variances(
    draft: Draft, params: Params, input_scale: float, scales: Sequence[StageScales], key_share: float
) -> Array:
    """The variance of every source after division by the scales, (sources,).

    key_share: how much of a complex slot's variance counts, for errors that depend on the key; see
    `NoiseModel.output_sigmas`.
    """
    degree = draft.choice.degree
    atom_scales = [input_scale, *(scale.atom for scale in scales)]
    result = [fresh_real_variance(degree) / input_scale**2]
    for index, (stage, scale) in enumerate(zip(draft.stages, scales, strict=True)):
        level, seal = draft.stage_levels[index], draft.both_backends
        switch = key_share * planned_key_switch_variance(params, level, under_seal=seal)
        # a baby step that others are made from is divided by P, which rounds it; then this counts for all of them
        baby = key_share * planned_baby_variance(params, level, under_seal=seal)
        baby = switch if draft.splits[index].sources else baby
        result += [switch / scale.value**2, encoding_variance(degree) / scale.value**2]
        # of two rescales in a row, here and after the square, the second divides the rounding error of the first
        result.append(key_share * _before_product(draft, params, index) / scale.root**2)
        for atom in stage.maps:
            rounding = encoding_variance(degree) * (atom_scales[atom] / scale.value) ** 2
            result += [baby / atom_scales[atom] ** 2, switch / atom_scales[atom] ** 2, rounding]
        square = 0.0
        if stage.power == 2:
            relinearized = planned_key_switch_variance(params, level - draft.divided[index], under_seal=seal)
            square = key_share * relinearized / scale.root**4
        if draft.rescaled[index]:
            square += key_share * rescale_variance(degree) / scale.atom**2
        result.append(square)
    return np.array(result)


def _before_product(draft: Draft, params: Params, index: int) -> float:
    """The variance that a rescale before the square adds, and the rotation of a value that is multiplied with it."""
    level, variance = draft.stage_levels[index] - draft.divided[index], 0.0
    if draft.divided[index]:
        variance += rescale_variance(draft.choice.degree)
    if draft.tables[index].pairing:
        variance += planned_key_switch_variance(params, level, under_seal=draft.both_backends)
    return variance


def random_sources(draft: Draft) -> NDArray[np.bool_]:
    """Which sources are drawn anew in every run, (sources,). Those of rounded plaintexts are not."""
    result = [True]
    for stage in draft.stages:
        result += [True, False, True, *([True, True, False] * len(stage.maps)), True]
    return np.array(result)
