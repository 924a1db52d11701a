"""A lower bound of a draft's noise that is cheap to compute: the part that is linear in the noise sources. Pure.

Every noise source (`secure.bounds.sources`) reaches the outputs through linear maps and squares. Squaring a number z
turns its variance v into 4 z^2 v + 2 v^2. The first term is linear in v and is nearly all of the sum. So the variance
that one unit of each source causes at the outputs is computed once. The floor of a chain of primes is then a weighted
sum of a few dozen numbers. A chain whose floor is too high needs no exact propagation.
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

#: Relative difference that another order of summation may make. It keeps the floor below the exact variance.
SLACK = 1e-9


@dataclass(frozen=True)
class NoiseFloor:
    """How much every noise source adds at the outputs.

    reach: (sources, outputs, images), the variance at the outputs per unit of each source. The first source is the
    error of fresh ciphertexts. Then come, stage by stage, the fields of the stage's StageNoise in their order.
    """

    reach: Array

    def sigmas(self, fresh: float, noises: Sequence[StageNoise]) -> Array:
        """A lower bound of the outputs' standard deviations, (outputs, images). fresh: variance of a fresh input."""
        sources = [fresh]
        for noise in noises:
            sources += [noise.value, *noise.reading.values(), *noise.rounding.values(), noise.square]
        return np.asarray(np.sqrt((1 - SLACK) * np.tensordot(sources, self.reach, 1)))


def noise_floor(
    stages: Sequence[Stage], evidence: Evidence, rounded: Sequence[Mapping[int, Array]], image_power: Sequence[Array]
) -> NoiseFloor:
    """The floor on the evidence's images.

    rounded: for each stage and atom, met power times excess, (features,).
    image_power: for each atom, the mean square on every image over that on all images, (images,).
    """
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
