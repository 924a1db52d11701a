"""How far errors reach: the variance that errors made at one place of a network cause at its outputs. Pure.

To first order, an error e in a value changes output k by the derivative of the output times e. Independent errors of
variance v in the features f of a value therefore cause the variance v * sum over f of (d output_k / d value_f)^2
(derived). The derivatives hold everything that lies between: errors that meet again behind a linear map are added with
their signs. Adding variances layer by layer instead treats the features of every layer as independent. Behind two
layers that is wrong by factors: the features of a trained network share most of their errors.

These derivatives depend on network and inputs alone, so one object serves all layouts and all chains of primes. In the
slots of a layout, a feature has copies, whose errors are independent in part; `secure.bounds.slot_reach` counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secure.bounds.sources import StageRules
from secure.drafting.draft import Evidence
from secure.stages.pairs import pulled
from secure.stages.stages import Stage

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StageReach:
    """The reach of errors that one stage makes, at the outputs that were asked for.

    value: (features, outputs, images), of an error in one feature of the stage's value. reading: for each atom, of
    independent errors in every feature that every row of the map reads, (outputs, images). square: of independent
    errors in all features of the value's square, (outputs, images); zero for a stage that is not squared.
    """

    value: Array
    reading: Mapping[int, Array]
    square: Array


@dataclass(frozen=True)
class Reach:
    """The reach of errors at every place of a network.

    fresh: of independent errors in all features of the input, (outputs, images). stages: in the network's order.
    """

    fresh: Array
    stages: tuple[StageReach, ...]

    def weights(self, rules: Sequence[StageRules], rounded: Sequence[Mapping[int, Array]] | None = None) -> Array:
        """The variance at the outputs per unit of each source, (sources, outputs, images).

        rounded: for each stage and atom, the square that rounded weights are multiplied with, (features, images).
        Without it, the weights of rounded weights are 0.
        """
        result = [self.fresh]
        for own, rule, by_atom in zip(self.stages, rules, rounded or [{} for _ in rules], strict=True):
            everywhere = own.value.sum(axis=0)
            result += [rule.switches * everywhere, everywhere, everywhere]
            for atom, read in own.reading.items():
                weighed = np.einsum("fki,fi->ki", own.value, by_atom[atom]) if atom in by_atom else 0 * read
                result += [rule.moved * read, rule.summed[atom] * read, rule.rounding[atom] * weighed]
            result.append(own.square)
        return np.stack(result)


def reach(stages: Sequence[Stage], evidence: Evidence, outputs: Sequence[int]) -> Reach:
    """The reach on the evidence's images, at the outputs with these numbers."""
    images = evidence.outputs.shape[1]
    shape = (len(outputs), images)
    by_value = np.zeros((stages[-1].size, *shape))  # derivatives of the outputs
    by_value[list(outputs), np.arange(len(outputs))] = 1.0
    by_atom: list[Array] = [np.zeros((len(atom), *shape)) for atom in evidence.atoms]
    found: list[StageReach] = []
    made = len(evidence.atoms)  # how many atoms this stage and the ones before it make
    for index in range(len(stages) - 1, -1, -1):
        stage, square = stages[index], np.zeros(shape)
        if stage.squared:
            made -= 1
            square = np.sum(by_atom[made] ** 2, axis=0)
            by_value = pulled(evidence.values[index][:, None], by_atom[made], stage.making)
            by_atom[made] = np.zeros(0)  # gives the memory back
        squared = by_value**2
        reading = {}
        for atom, matrix in stage.maps.items():
            reading[atom] = np.tensordot(stage.row_powers[atom], squared, 1)
            by_atom[atom] += (matrix.T @ by_value.reshape(stage.size, -1)).reshape(matrix.shape[1], *shape)
        found.append(StageReach(squared, reading, square))
    return Reach(np.sum(by_atom[0] ** 2, axis=0), tuple(reversed(found)))
