"""Where the noise of a draft comes from: the variances that each stage adds, from primes and scales. Pure.

`secure.bounds.propagate` computes what these variances cause at the outputs, and `secure.bounds.floor` a lower bound of
that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secure.drafting.draft import Draft, StageScales
from secure.layout.diagonals import is_conjugated
from secure.layout.folds import fold_groups, switches_after_folds
from secure.noise import encoding_variance, planned_baby_variance, planned_key_switch_variance, rescale_variance
from secure.params import Params


@dataclass(frozen=True)
class StageRules:
    """The part of a stage's noise that depends on neither primes nor scales.

    switches: variance that giant steps, folds and the conjugation add to a slot of the stage's value. moved: whether
    the stage has baby steps, which rotate inputs before they are multiplied. summed: for each atom, variance that its
    folds before the products add to a feature. rounding: for each atom, variance that rounding the weights adds, in
    units of that of real constants. switches and summed are in units of the variance of one key switch.
    """

    switches: float
    moved: bool
    summed: Mapping[int, float]
    rounding: Mapping[int, float]


@dataclass(frozen=True)
class StageNoise:
    """Variances that one stage adds, after division by the scales.

    value: to every slot of its value. reading: for each atom, to every feature that the stage reads. rounding: for
    each atom, to a feature of the value, per unit of met power. square: to every slot of the value's square.
    """

    value: float
    reading: Mapping[int, float]
    rounding: Mapping[int, float]
    square: float


def stage_rules(draft: Draft) -> tuple[StageRules, ...]:
    """The rules of every stage of a draft whose rotations are split."""
    planes, paired = draft.choice.planes, draft.choice.paired_folds
    result = []
    for stage, table, split in zip(draft.stages, draft.tables, draft.splits, strict=True):
        conjugated = is_conjugated(table, planes)
        giants = sum(giant != 0 for giant in split.giants)
        # n folds add up 2^n features and leave a variance of 2^n - 1: in equal shares, 1 - 2^-n per feature
        summed = {atom: 1 - 0.5 ** len(table.presums.get(atom, ())) for atom in stage.maps}
        # Adding the conjugate doubles the real part of an error, so its variance is four times as large. Of the
        # variance of a complex constant's error, only half is in the real part.
        rounding = {atom: (2.0 if atom == 0 else 4.0) if conjugated else 1.0 for atom in stage.maps}
        groups = fold_groups(table.folds, conjugated, paired)
        result.append(StageRules(switches_after_folds(giants, groups), any(split.babies), summed, rounding))
    return tuple(result)


def stage_noises(
    draft: Draft,
    rules: Sequence[StageRules],
    params: Params,
    input_scale: float,
    scales: Sequence[StageScales],
    key_share: float,
) -> tuple[StageNoise, ...]:
    """The noise that every stage adds. key_share: see `NoiseModel.output_sigmas`."""
    degree = draft.choice.degree
    atom_scales = [input_scale, *(scale.atom for scale in scales)]
    result = []
    for index, (stage, rule, scale) in enumerate(zip(draft.stages, rules, scales, strict=True)):
        switch = key_share * planned_key_switch_variance(params, draft.stage_levels[index])
        baby = key_share * planned_baby_variance(params, draft.stage_levels[index]) if rule.moved else 0.0
        reading = {atom: (baby + rule.summed[atom] * switch) / atom_scales[atom] ** 2 for atom in stage.maps}
        rounding = {
            atom: rule.rounding[atom] * encoding_variance(degree) * (atom_scales[atom] / scale.value) ** 2
            for atom in stage.maps
        }
        square = switch / scale.value**4 if stage.squared else 0.0
        if draft.rescaled[index]:  # of two rescales in a row, the second divides the rounding error of the first
            square += key_share * rescale_variance(degree) / scale.atom**2
        value = (rule.switches * switch + encoding_variance(degree)) / scale.value**2
        result.append(StageNoise(value, reading, rounding, square))
    return tuple(result)
