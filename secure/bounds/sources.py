"""Where the noise of a draft comes from: by stage, the variances that enter at each place, as numbers of primes and scales. Pure.

How they travel from there to the outputs is `secure.bounds.propagate`'s affair, and `secure.bounds.floor`'s.
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
    """What of a stage's noise is settled before primes and scales are.

    switches: variance of a slot of its value, in key switches, that giant rotations and folds make. moved: whether inputs are rotated
    before they are multiplied. summed: by atom, key switches that its sums before the products add to every feature read. rounding: by
    atom, variance of what rounding the weights makes, in parts of that of real constants.
    """

    switches: float
    moved: bool
    summed: Mapping[int, float]
    rounding: Mapping[int, float]


@dataclass(frozen=True)
class StageNoise:
    """Variances that one stage adds, at scale 1: to every slot of its value; by atom, to every feature it reads; by atom, to a feature of
    the value for each unit of met power; and to every slot of its square."""

    value: float
    reading: Mapping[int, float]
    rounding: Mapping[int, float]
    square: float


def stage_rules(draft: Draft) -> tuple[StageRules, ...]:
    """By stage, of a draft whose rotations are split."""
    planes, paired = draft.choice.planes, draft.choice.paired_folds
    result = []
    for stage, table, split in zip(draft.stages, draft.tables, draft.splits, strict=True):
        conjugated = is_conjugated(table, planes)
        giants = sum(giant != 0 for giant in split.giants)
        # a sum's errors are shared out over the features it adds up
        summed = {atom: 1 - 0.5 ** len(table.presums.get(atom, ())) for atom in stage.maps}
        # twice the real part of an error is read where the conjugate is added; half of a complex constant's is real
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
    """By stage. key_share: of a complex slot's variance of errors that depend on a key, what is charged."""
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
        if draft.rescaled[index]:  # of two divisions, the second divides what the first rounds off
            square += key_share * rescale_variance(degree) / scale.atom**2
        value = (rule.switches * switch + encoding_variance(degree)) / scale.value**2
        result.append(StageNoise(value, reading, rounding, square))
    return tuple(result)
