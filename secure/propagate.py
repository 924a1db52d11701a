"""The noise of a draft, stage by stage, on calibration images: variances of every feature of every atom. Pure.

Independent errors add in variance: through a map by its squared entries, through a square by 4 z^2 (derived). The whole variance of
a complex slot is charged though only its real part is read: for one key, the errors of single slots lie up to about that factor above
their mean over slots, and a bound must hold for the slots that are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secure.draft import Draft, Evidence, StageScales
from secure.noise import encoding_variance, fresh_variance, key_switch_variance, rescale_variance
from secure.params import Params

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NoiseModel:
    """What the noise of a draft depends on besides primes and scales.

    products: by stage and atom, the products one slot of the result adds up, folds included.
    slot_power: by atom, mean square over all slots (empty ones too), per image.
    """

    draft: Draft
    evidence: Evidence
    products: tuple[dict[int, int], ...]
    slot_power: tuple[Array, ...]

    @cached_property
    def mean_power(self) -> tuple[float, ...]:
        """By atom, `slot_power` over all images: the search for parameters asks for it thousands of times."""
        return tuple(float(power.mean()) for power in self.slot_power)

    def encoding_error_scale(self, stage: int, atom_scales: Sequence[float]) -> float:
        """Standard deviation of a stage's value, times its scale, that rounding the weights to plaintexts makes."""
        largest = max(atom_scales[atom] for atom in self.products[stage])  # squares of whole scales would overflow
        total = sum(
            products * self.mean_power[atom] * (atom_scales[atom] / largest) ** 2
            for atom, products in self.products[stage].items()
        )
        return largest * float(np.sqrt(total * encoding_variance(self.draft.choice.degree)))

    def output_sigmas(self, params: Params, input_scale: float, scales: Sequence[StageScales]) -> Array:
        """Standard deviation of the error at every output for every image, (outputs, images)."""
        draft, degree = self.draft, self.draft.choice.degree
        size, images = self.evidence.atoms[0].shape
        variances = [np.full((size, images), fresh_variance(degree) / input_scale**2)]
        atom_scales = [input_scale, *(scale.atom for scale in scales)]
        value_variance = variances[0]
        for index, stage in enumerate(draft.stages):
            switch = key_switch_variance(params, draft.stage_levels[index])
            value_scale, atom_scale = scales[index].value, scales[index].atom
            value_variance = np.full((stage.size, images), self._sum_variance(index, switch) / value_scale**2)
            moved = any(draft.splits[index].babies)
            for atom, products in self.products[index].items():
                scale = atom_scales[atom]
                incoming = variances[atom] + (switch / scale**2 if moved else 0.0)
                value_variance += stage.squared_maps[atom] @ incoming
                value_variance += (
                    products * encoding_variance(degree) * (scale / value_scale) ** 2 * self.slot_power[atom]
                )
            if stage.squared:
                variance = 4 * self.evidence.values[index] ** 2 * value_variance + 2 * value_variance**2
                variance += switch / value_scale**4
                if draft.rescaled[index]:
                    variance += rescale_variance(degree) / atom_scale**2
                variances.append(variance)
        return np.asarray(np.sqrt(value_variance))

    def _sum_variance(self, stage: int, switch: float) -> float:
        """Slot variance, under the value's scale, of giant rotations, folds and the bias plaintext."""
        folded = 2.0 ** len(self.draft.tables[stage].folds)
        giants = sum(giant != 0 for giant in self.draft.splits[stage].giants)
        return (giants * folded + folded - 1) * switch + encoding_variance(self.draft.choice.degree)


def noise_model(draft: Draft, images: int) -> NoiseModel:
    """The model of an arranged draft, on the first `images` calibration images."""
    evidence = draft.evidence.subset(images)
    products = []
    for stage, table in zip(draft.stages, draft.tables, strict=True):
        per_output = dict.fromkeys(((key.output, key.atom) for key in table.diagonals), 0)
        for key in table.diagonals:
            per_output[key.output, key.atom] += 1
        most = {atom: max(count for (_, a), count in per_output.items() if a == atom) for atom in stage.maps}
        products.append({atom: count * 2 ** len(table.folds) for atom, count in most.items()})
    power = []
    for occupied, features in zip(draft.atom_maps, evidence.atoms, strict=True):
        copies = np.bincount(occupied[occupied >= 0], minlength=features.shape[0])
        power.append(copies @ features**2 / occupied.size)
    return NoiseModel(draft, evidence, tuple(products), tuple(power))
