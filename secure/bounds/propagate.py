"""The noise of a draft, stage by stage, on calibration images: the variance of every feature of every atom. Pure.

Variances of independent errors add up. A linear map multiplies them by its squared entries. Squaring a number z with an
error of variance v gives an error of variance 4 z^2 v + 2 v^2 (derived).

The errors of key switches and rescales depend on the secret key. Under one key, single slots may have about twice the
mean variance of all slots, and a bound must hold for every slot that is read. So for these errors the variance of the
whole complex slot counts, which is twice that of the real part, although only the real part is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.bounds.floor import NoiseFloor, noise_floor
from secure.bounds.met_power import MetPower, by_feature, measured_keys
from secure.bounds.sources import StageRules, stage_noises, stage_rules
from secure.drafting.draft import Draft, StageScales
from secure.encoding import encoding_error
from secure.layout.diagonals import DiagonalKey, apply_table, is_conjugated, plane_constants
from secure.noise import encoding_variance, fresh_real_variance
from secure.params import Params

Array = NDArray[np.float64]

#: Up to this factor, a measured variance above that of white errors counts as chance, since few images are measured.
CHANCE = 3.0


@dataclass(frozen=True)
class NoiseModel:
    """All that the noise of a draft depends on besides primes and scales.

    met: the met power of the draft's layout. excess: for each stage, the variance that the rounding errors of encoded
    weights cause in its value, over the variance that white errors would cause, (features,). White errors are
    independent, with variance 1/12 per coefficient.
    """

    draft: Draft
    met: MetPower
    excess: tuple[Array, ...]

    @cached_property
    def _rules(self) -> tuple[StageRules, ...]:
        return stage_rules(self.draft)

    @cached_property
    def _floor(self) -> NoiseFloor:
        rounded = [
            {atom: power * excess for atom, power in by_atom.items()}
            for by_atom, excess in zip(self.met.all_diagonals, self.excess, strict=True)
        ]
        return noise_floor(self.draft.stages, self.met.evidence, rounded, self.met.by_image)

    @cached_property
    def _typical_power(self) -> tuple[dict[int, float], ...]:
        """For each stage and atom, the mean over features of met power times excess. The search reads it often."""
        return tuple(
            {atom: float(np.mean(power * excess)) for atom, power in by_atom.items()}
            for by_atom, excess in zip(self.met.all_diagonals, self.excess, strict=True)
        )

    def encoding_error_scale(self, stage: int, atom_scales: Sequence[float]) -> float:
        """Standard deviation of the error that rounding the weights makes in a stage's value, times the value's scale.

        The product does not depend on the value's scale. atom_scales: by atom.
        """
        powers = self._typical_power[stage]
        largest = max(atom_scales[atom] for atom in powers)  # divided out, since squares of scales may overflow
        total = sum(
            power * self._rules[stage].rounding[atom] * (atom_scales[atom] / largest) ** 2
            for atom, power in powers.items()
        )
        return largest * float(np.sqrt(total * encoding_variance(self.draft.choice.degree)))

    def output_sigmas(
        self, params: Params, input_scale: float, scales: Sequence[StageScales], key_share: float = 1.0
    ) -> Array:
        """Standard deviation of the error at every output for every image, (outputs, images).

        key_share: how much of a complex slot's variance counts, for errors that depend on the key. 1 gives a bound;
        1/2, the share of the real part, gives the average over keys.
        """
        draft, evidence = self.draft, self.met.evidence
        size, images = evidence.atoms[0].shape
        variances = [np.full((size, images), fresh_real_variance(draft.choice.degree) / input_scale**2)]
        value_variance = variances[0]
        noises = stage_noises(draft, self._rules, params, input_scale, scales, key_share)
        for index, (stage, noise) in enumerate(zip(draft.stages, noises, strict=True)):
            value_variance = np.full((stage.size, images), noise.value)
            for atom, met in self.met.all_diagonals[index].items():
                value_variance += stage.squared_maps[atom] @ (variances[atom] + noise.reading[atom])
                value_variance += noise.rounding[atom] * np.outer(met * self.excess[index], self.met.by_image[atom])
            if stage.squared:
                variance = 4 * evidence.values[index] ** 2 * value_variance + 2 * value_variance**2
                variances.append(variance + noise.square)
        return np.asarray(np.sqrt(value_variance))

    def least_sigmas(self, params: Params, input_scale: float, scales: Sequence[StageScales]) -> Array:
        """A lower bound of `output_sigmas`, (outputs, images). Every call but the first is much cheaper than that."""
        fresh = fresh_real_variance(self.draft.choice.degree) / input_scale**2
        return self._floor.sigmas(fresh, stage_noises(self.draft, self._rules, params, input_scale, scales, 1.0))

    def measured(self, input_scale: float, scales: Sequence[StageScales]) -> NoiseModel:
        """The model with the excess that the plaintexts really have when they are encoded at these scales."""
        atom_scales = [input_scale, *(scale.atom for scale in scales)]
        return replace(
            self, excess=tuple(self._excess(index, atom_scales, scales[index].value) for index in range(len(scales)))
        )

    def _excess(self, stage: int, atom_scales: Sequence[float], value_scale: float) -> Array:
        """The excess of one stage, (features,): the measured ratio, or 1 where it is at most CHANCE."""
        draft = self.draft
        table, planes = draft.tables[stage], draft.choice.planes
        keys = measured_keys(table)
        constants = plane_constants(replace(table, diagonals={key: table.diagonals[key] for key in keys}), planes)
        errors: dict[DiagonalKey, Array] = {}
        for key, constant in constants.items():  # without giant steps: they only permute coefficients
            error = encoding_error(constant, value_scale / atom_scales[key.atom])
            errors |= _plane_errors(key, error, planes, is_conjugated(table, planes))
        found = apply_table(replace(table, diagonals=errors), dict(enumerate(self.met.slots)))
        actual = by_feature(np.mean(found**2, axis=0), table.output_map, draft.stages[stage].size)
        white = np.zeros(len(actual))
        for atom, power in self.met.measured_diagonals[stage].items():
            share = self._rules[stage].rounding[atom]
            white += share * power * encoding_variance(draft.choice.degree) * (atom_scales[atom] / value_scale) ** 2
        ratio = actual / np.maximum(white, np.finfo(float).tiny)
        return np.where(ratio > CHANCE, ratio, 1.0)


def noise_model(draft: Draft, images: int) -> NoiseModel:
    """The model of an arranged draft on the first `images` calibration images.

    It assumes that the rounding errors of encoded weights are white. `NoiseModel.measured` gives a model without this
    assumption.
    """
    met = MetPower(draft, draft.evidence.subset(images))
    return NoiseModel(draft, met, tuple(np.ones(stage.size) for stage in draft.stages))


def _plane_errors(key: DiagonalKey, error: NDArray[Any], planes: int, conjugated: bool) -> dict[DiagonalKey, Array]:
    """The error of an encoded constant, as errors of the diagonals that the constant combines.

    conjugated: whether the conjugate is added later, which doubles the real part.
    """
    if not conjugated:
        return {key: error}
    if key.atom != 0:
        return {key: 2 * error}
    first = replace(key, input=key.input * planes)
    return {first: 2 * error.real, replace(first, input=first.input + 1): -2 * error.imag}
