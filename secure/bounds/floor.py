"""A floor under the noise of a draft that costs next to nothing: the part of it that is linear in its sources. Pure.

Every variance that is added somewhere (`secure.bounds.sources`) reaches the outputs through maps and through squares; of a square's
4 z^2 v + 2 v^2 the first term is linear in v and nearly all of it. So what one unit of each source comes to at the outputs is found
once, and the floor of a chain of primes is a sum of a few dozen numbers. Chains whose floor is too high need no exact propagation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secure.bounds.sources import StageNoise
from secure.drafting.draft import Evidence
from secure.stages.stages import Stage

Array = NDArray[np.float64]

#: What sums in another order may differ by: the floor stays below the exact variance.
SLACK = 1e-9


@dataclass(frozen=True)
class NoiseFloor:
    """reach: (sources, outputs, images), variance of the outputs for one unit of each source: fresh errors first, then by stage the
    numbers of its StageNoise in their order."""

    reach: Array

    def sigmas(self, fresh: float, noises: Sequence[StageNoise]) -> Array:
        """(outputs, images): a lower bound of the outputs' standard deviations."""
        sources = [fresh]
        for noise in noises:
            sources += [noise.value, *noise.reading.values(), *noise.rounding.values(), noise.square]
        return np.asarray(np.sqrt((1 - SLACK) * np.tensordot(sources, self.reach, 1)))


def noise_floor(
    stages: Sequence[Stage], evidence: Evidence, rounded: Sequence[Mapping[int, Array]], image_power: Sequence[Array]
) -> NoiseFloor:
    """The floor on the evidence's images. rounded: by stage and atom, what the rounding of weights is multiplied by for each feature of the
    value, (features,); image_power: by atom, in parts of the mean, (images,)."""
    images = evidence.outputs.shape[1]
    by_atom = [np.ones((len(evidence.atoms[0]), 1, images))]  # (features, sources so far, images)
    known = 1
    value = by_atom[0]
    for index, stage in enumerate(stages):
        own = 2 + 2 * len(stage.maps)
        value = np.zeros((stage.size, known + own, images))
        value[:, known] = 1.0
        for place, (atom, squared) in enumerate(stage.squared_maps.items(), start=known + 1):
            before = by_atom[atom]
            value[:, : before.shape[1]] += (squared @ before.reshape(len(before), -1)).reshape(stage.size, -1, images)
            value[:, place] = np.asarray(squared.sum(axis=1)).reshape(-1, 1)
            value[:, place + len(stage.maps)] = np.outer(rounded[index][atom], image_power[atom])
        if stage.squared:
            value *= 4 * evidence.values[index][:, None] ** 2
            value[:, -1] = 1.0
            by_atom.append(value)
        known += own
    return NoiseFloor(np.ascontiguousarray(value.swapaxes(0, 1)))
