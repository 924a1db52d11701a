"""The noise of a draft, stage by stage, on calibration images: variances of every feature of every atom. Pure.

Independent errors add in variance: through a map by its squared entries, through a square by 4 z^2 (derived). Of errors that depend on
a key (key switches, rescales) the whole variance of a complex slot is charged though only its real part is read: for one key, the
errors of single slots lie up to about that factor above their mean over slots, and a bound must hold for the slots that are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.diagonals import DiagonalKey, apply_table, is_conjugated, plane_constants
from secure.draft import Draft, Evidence, StageScales
from secure.encoding import encoding_error
from secure.folds import fold_groups, switches_after_folds
from secure.noise import encoding_variance, fresh_real_variance, planned_key_switch_variance, rescale_variance
from secure.packing import EMPTY, SlotMap
from secure.params import Params
from secure.slot_values import atom_slots, source_powers

Array = NDArray[np.float64]

#: Diagonals whose encoding errors are computed for one stage: more are represented by evenly spaced ones.
MEASURED_DIAGONALS = 256
#: On a few images, white errors may look this much larger in variance than they are.
CHANCE = 3.0


@dataclass(frozen=True)
class NoiseModel:
    """What the noise of a draft depends on besides primes and scales.

    slot_power: by stage and atom, the mean square of every slot multiplied, (ciphertexts times planes, slots). met_power: by stage and atom, the sum over diagonals and folds of the mean square that a feature's slot meets, (features,).
    image_power: by atom, an image's mean square over that of all images. excess: by stage, how far the variance of the encoded
    weights' errors lies above that of white ones, (features,).
    """

    draft: Draft
    evidence: Evidence
    slot_power: tuple[Mapping[int, Array], ...]
    met_power: tuple[Mapping[int, Array], ...]
    image_power: tuple[Array, ...]
    excess: tuple[Array, ...]

    @cached_property
    def slots(self) -> tuple[Array, ...]:
        """By atom, its slots, (images, ciphertexts times planes, slots)."""
        return atom_slots(self.draft, self.evidence)

    @cached_property
    def _typical_power(self) -> tuple[dict[int, float], ...]:
        """By stage and atom, the mean over features of met power times excess: the search asks for it thousands of times."""
        return tuple(
            {atom: float(np.mean(power * excess)) for atom, power in by_atom.items()}
            for by_atom, excess in zip(self.met_power, self.excess, strict=True)
        )

    def encoding_error_scale(self, stage: int, atom_scales: Sequence[float]) -> float:
        """Standard deviation of a stage's value, times its scale, that rounding the weights to plaintexts makes."""
        powers = self._typical_power[stage]
        largest = max(atom_scales[atom] for atom in powers)  # squares of whole scales would overflow
        total = sum(
            power * self._rounding_share(stage, atom) * (atom_scales[atom] / largest) ** 2
            for atom, power in powers.items()
        )
        return largest * float(np.sqrt(total * encoding_variance(self.draft.choice.degree)))

    def output_sigmas(
        self, params: Params, input_scale: float, scales: Sequence[StageScales], key_share: float = 1.0
    ) -> Array:
        """Standard deviation of the error at every output for every image, (outputs, images).

        key_share: of a complex slot's variance of errors that depend on a key, what is charged: all of it for a bound, the real
        half for what happens on average over keys.
        """
        draft, degree = self.draft, self.draft.choice.degree
        size, images = self.evidence.atoms[0].shape
        variances = [np.full((size, images), fresh_real_variance(degree) / input_scale**2)]
        atom_scales = [input_scale, *(scale.atom for scale in scales)]
        value_variance = variances[0]
        for index, stage in enumerate(draft.stages):
            switch = key_share * planned_key_switch_variance(params, draft.stage_levels[index])
            value_scale, atom_scale = scales[index].value, scales[index].atom
            value_variance = np.full((stage.size, images), self._sum_variance(index, switch) / value_scale**2)
            moved = any(draft.splits[index].babies)
            for atom, met in self.met_power[index].items():
                scale = atom_scales[atom]
                presummed = 2.0 ** len(draft.tables[index].presums.get(atom, ()))
                switches = moved + (1 - 1 / presummed)  # a sum's errors, shared out over the features it adds up
                incoming = variances[atom] + switches * switch / scale**2
                value_variance += stage.squared_maps[atom] @ incoming
                rounding = self._rounding_share(index, atom) * encoding_variance(degree) * (scale / value_scale) ** 2
                value_variance += rounding * np.outer(met * self.excess[index], self.image_power[atom])
            if stage.squared:
                variance = 4 * self.evidence.values[index] ** 2 * value_variance + 2 * value_variance**2
                variance += switch / value_scale**4
                if draft.rescaled[index]:
                    variance += key_share * rescale_variance(degree) / atom_scale**2
                variances.append(variance)
        return np.asarray(np.sqrt(value_variance))

    def measured(self, input_scale: float, scales: Sequence[StageScales]) -> NoiseModel:
        """The model with the excess that plaintexts at these scales really have."""
        atom_scales = [input_scale, *(scale.atom for scale in scales)]
        return replace(
            self, excess=tuple(self._excess(index, atom_scales, scales[index].value) for index in range(len(scales)))
        )

    def _excess(self, stage: int, atom_scales: Sequence[float], value_scale: float) -> Array:
        """(features,): variance of the encoded weights' errors over that of white ones, at least 1."""
        draft = self.draft
        table, split = draft.tables[stage], draft.splits[stage]
        keys = sorted(table.diagonals)
        keys = keys[:: -(-len(keys) // MEASURED_DIAGONALS)]
        planes = draft.choice.planes
        constants = plane_constants(replace(table, diagonals={key: table.diagonals[key] for key in keys}), planes)
        errors: dict[DiagonalKey, Array] = {}
        for key, constant in constants.items():
            giant = split.parts[key.rotation][1]
            error = encoding_error(np.roll(constant, giant), value_scale / atom_scales[key.atom])
            errors |= _plane_errors(key, np.roll(error, -giant), planes, is_conjugated(table, planes))
        found = apply_table(replace(table, diagonals=errors), dict(enumerate(self.slots)))
        actual = _by_feature(np.mean(found**2, axis=0), table.output_map, draft.stages[stage].size)
        white = np.zeros(len(actual))
        for atom, power in _met_power(draft, self.slot_power, stage, keys).items():
            share = self._rounding_share(stage, atom)
            white += share * power * encoding_variance(draft.choice.degree) * (atom_scales[atom] / value_scale) ** 2
        ratio = actual / np.maximum(white, np.finfo(float).tiny)
        return np.where(ratio > CHANCE, ratio, 1.0)

    def _sum_variance(self, stage: int, switch: float) -> float:
        """Slot variance, under the value's scale, of giant rotations, folds and the bias plaintext."""
        table = self.draft.tables[stage]
        giants = sum(giant != 0 for giant in self.draft.splits[stage].giants)
        groups = fold_groups(table.folds, is_conjugated(table, self.draft.choice.planes))
        return switches_after_folds(giants, groups) * switch + encoding_variance(self.draft.choice.degree)

    def _rounding_share(self, stage: int, atom: int) -> float:
        """Variance of what rounding the weights makes, in parts of that of real constants: twice the real part of an error is read
        where the conjugate is added; half of a complex constant's is real."""
        if not is_conjugated(self.draft.tables[stage], self.draft.choice.planes):
            return 1.0
        return 2.0 if atom == 0 else 4.0


def noise_model(draft: Draft, images: int) -> NoiseModel:
    """The model of an arranged draft, on the first `images` calibration images; encoded weights' errors taken for white."""
    evidence = draft.evidence.subset(images)
    slot_power = source_powers(draft, evidence)
    met = tuple(
        _met_power(draft, slot_power, index, sorted(table.diagonals)) for index, table in enumerate(draft.tables)
    )
    power = tuple(np.mean(atom**2, axis=0) for atom in evidence.atoms)
    image_power = tuple(row / max(float(row.mean()), np.finfo(float).tiny) for row in power)
    excess = tuple(np.ones(stage.size) for stage in draft.stages)
    return NoiseModel(draft, evidence, slot_power, met, image_power, excess)


def _met_power(
    draft: Draft, slot_power: Sequence[Mapping[int, Array]], stage: int, keys: Sequence[DiagonalKey]
) -> dict[int, Array]:
    """By atom, the sum over these diagonals and the folds of the mean square met by a feature's slot, (features,)."""
    table, size = draft.tables[stage], draft.stages[stage].size
    result = {}
    for atom in draft.stages[stage].maps:
        mean_square = slot_power[stage][atom]
        total = np.zeros(table.output_map.shape)
        for key in keys:
            if key.atom == atom:
                total[key.output] += np.roll(mean_square[key.input], -key.rotation)
        for fold in table.folds:
            total = total + np.roll(total, -fold, axis=1)
        result[atom] = _by_feature(total, table.output_map, size)
    return result


def _plane_errors(key: DiagonalKey, error: NDArray[Any], planes: int, conjugated: bool) -> dict[DiagonalKey, Array]:
    """A constant's error as errors of the diagonals that it stands for."""
    if not conjugated:
        return {key: error}
    if key.atom != 0:
        return {key: 2 * error}
    first = replace(key, input=key.input * planes)
    return {first: 2 * error.real, replace(first, input=first.input + 1): -2 * error.imag}


def _by_feature(slots: Array, slot_map: SlotMap, size: int) -> Array:
    """(size,): mean over the slots that carry a feature."""
    used = slot_map != EMPTY
    features = slot_map[used]
    return np.asarray(np.bincount(features, slots[used], size) / np.maximum(np.bincount(features, minlength=size), 1))
