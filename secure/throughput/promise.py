"""What a plan promises about its errors and about changed classes, from rows of inputs. Pure.

    systematic   from rounded constants, the same in every run: the plan in clear minus the network, on every row
    random       from encryption, drawn anew in every block: its standard deviation on every row, by derivatives

The bound of a plan is what at most one input in 10,000 exceeds, for inputs that are drawn like the rows. Where these
are many, it counts random errors as they are drawn (`secure.throughput.mixture`). Else it takes the systematic error
plus BOUND_SIGMAS standard deviations of every input, and reads the tail of that (`secure.bounds.tail`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from secure.bounds.tail import drawn_tail, upper_mean, upper_tail
from secure.noise import BOUND_SIGMAS
from secure.throughput.evidence import Evidence
from secure.throughput.mixture import FEWEST_ROWS, mixed_bound
from secure.throughput.noise import EXCESS

Array = NDArray[np.float64]

#: The share of the allowed disagreement that may be expected. The rest is left to chance.
EXPECTED_SHARE = 0.7
#: Outputs that differ by less than this share of the largest are equal.
SAME = 1e-9


@dataclass(frozen=True)
class Promise:
    """Bounds that at most one input in 10,000 exceeds, in the outputs' units, and shares of changed classes.

    systematic_error, random_error: of either kind alone; error: of their sum. disagreement: expected;
    disagreement_limit: its upper confidence limit. rows: of the errors. class_rows: of the margins between classes.
    largest: the largest bound of any of the rows.
    """

    systematic_error: float
    random_error: float
    error: float
    disagreement: float
    disagreement_limit: float
    rows: int
    class_rows: int
    largest: float


@dataclass(frozen=True)
class Allowed:
    """How large errors may be. error: of any output, in its units; infinite where only classes count. disagreement: the
    largest share of changed classes."""

    error: float
    disagreement: float

    def admits(self, promise: Promise) -> bool:
        if self.error < inf:
            return promise.error <= self.error
        return promise.disagreement <= EXPECTED_SHARE * self.disagreement


def promised(evidence: Evidence, systematic: Array, variance: float) -> Promise:
    """The promise of a plan with these systematic errors (outputs, examined), and this variance of its inputs."""
    changed = changed_classes(evidence, systematic[:, : evidence.known], variance)
    own = _kinds(systematic[:, : evidence.typical], evidence.gains[:, : evidence.typical] * variance)
    if evidence.hardest is None and evidence.typical >= FEWEST_ROWS:
        sigmas = EXCESS * own[1] / BOUND_SIGMAS
        wrong = upper_tail(own[0])
        random, error = (mixed_bound(fixed, sigmas, len(systematic)) for fixed in (np.zeros_like(sigmas), own[0]))
    elif evidence.hardest is None:
        wrong, random, error = (upper_tail(values) for values in own)
    else:
        drawn = _kinds(systematic[:, evidence.known :], evidence.hardest.gains * variance)
        wrong, random, error = (
            max(drawn_tail(values, evidence.hardest.drawn), float(seen.max()))
            for values, seen in zip(drawn, own, strict=True)
        )
    return Promise(
        # neither kind exceeds the sum, whose bound may be closer where few rows tell little about the tails
        systematic_error=min(error, wrong),
        random_error=min(error, random),
        error=error,
        disagreement=float(changed.mean()),
        disagreement_limit=upper_mean(changed),
        rows=evidence.typical,
        class_rows=len(evidence.outputs),
        largest=float(own[2].max()),
    )


def _kinds(wrong: Array, variances: Array) -> tuple[Array, Array, Array]:
    """The largest systematic error of every input, its largest random one, and its bound, each (inputs,)."""
    random = BOUND_SIGMAS * np.sqrt(variances)
    return np.abs(wrong).max(axis=0), random.max(axis=0), (np.abs(wrong) + random).max(axis=0)


def changed_classes(evidence: Evidence, wrong: Array, variance: float) -> Array:
    """For every row, the probability that another output becomes the largest, (rows,) (derived).

    Output j overtakes the largest one, t, with the probability Phi(-margin / sigma). The margin is output t minus
    output j, both with their systematic errors. sigma is the deviation of that difference: their errors have much in
    common. The sum over all j, at most 1, is an upper bound, close where it is small. Rows whose errors were not
    computed get the mean square of the typical ones.

    wrong: systematic errors, (outputs, known rows). variance: of an input feature under encryption.
    """
    outputs, known = evidence.outputs.T, evidence.known
    if len(outputs) < 2:
        return np.zeros(outputs.shape[1])
    spread = evidence.rival_gains * variance
    shifts = wrong - np.take_along_axis(wrong, _top(outputs[:, :known]), axis=0)
    typical = np.mean((spread + shifts**2)[:, : evidence.typical])
    spread = np.append(spread, np.full((len(outputs), outputs.shape[1] - known), typical), axis=1)
    shifted = outputs + np.append(wrong, np.zeros((len(outputs), outputs.shape[1] - known)), axis=1)
    margins = np.take_along_axis(shifted, _top(outputs), axis=0) - shifted
    margins[np.abs(margins) <= SAME * np.abs(outputs).max()] = 0.0
    # outputs that are alike for every input have no error of their difference, and stay in their order
    overtaken = np.where((margins == 0) & (spread == 0), 0.0, ndtr(-margins / np.sqrt(np.maximum(spread, 1e-300))))
    np.put_along_axis(overtaken, _top(outputs), 0.0, axis=0)
    return np.asarray(np.minimum(overtaken.sum(axis=0), 1.0))


def _top(outputs: Array) -> NDArray[np.intp]:
    """The largest output of every row, (1, rows)."""
    return outputs.argmax(axis=0)[None]
