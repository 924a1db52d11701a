"""What a plan promises about its errors and about changed classes, from rows of inputs. Pure.

    systematic   from rounded constants, the same in every run: the plan in clear minus the network, on every row
    random       from encryption, drawn anew in every block: its standard deviation on every row, by derivatives

The bound of a row is its systematic error plus BOUND_SIGMAS standard deviations; that of a plan is what at most one
input in 10,000 exceeds (`secure.bounds.tail`), for inputs that are drawn like the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from secure.bounds.tail import upper_mean, upper_tail
from secure.noise import BOUND_SIGMAS, changed_class_probabilities
from secure.throughput.evidence import Evidence

Array = NDArray[np.float64]

#: The share of the allowed disagreement that may be expected. The rest is left to chance.
EXPECTED_SHARE = 0.7


@dataclass(frozen=True)
class Promise:
    """Bounds that at most one input in 10,000 exceeds, in the outputs' units, and shares of changed classes.

    systematic_error, random_error: of either kind alone; error: of their sum. disagreement: expected;
    disagreement_limit: its upper confidence limit. rows: of the errors. class_rows: of the margins between classes.
    """

    systematic_error: float
    random_error: float
    error: float
    disagreement: float
    disagreement_limit: float
    rows: int
    class_rows: int


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
    """The promise of a plan with these systematic errors (known rows, outputs), and this variance of its inputs."""
    wrong, sigma = systematic.T, np.sqrt(evidence.gains * variance)
    changed = _changed(evidence, wrong, sigma)
    both = np.abs(wrong) + BOUND_SIGMAS * sigma
    error = upper_tail(both.max(axis=0))
    return Promise(
        # neither kind exceeds the sum, whose bound may be closer where few rows tell little about the tails
        systematic_error=min(error, upper_tail(np.abs(wrong).max(axis=0))),
        random_error=min(error, upper_tail(BOUND_SIGMAS * sigma.max(axis=0))),
        error=error,
        disagreement=float(changed.mean()),
        disagreement_limit=upper_mean(changed),
        rows=evidence.known,
        class_rows=len(evidence.outputs),
    )


def _changed(evidence: Evidence, wrong: Array, sigma: Array) -> Array:
    """For every row, the probability that its class changes. Rows without errors get the mean square of the others."""
    outputs, known = evidence.outputs.T, evidence.known
    changed = changed_class_probabilities(outputs[:, :known], wrong, sigma)
    others = outputs[:, known:]
    typical = np.sqrt(np.mean(wrong**2 + sigma**2, axis=1, keepdims=True))
    rest = changed_class_probabilities(others, np.zeros_like(others), np.broadcast_to(typical, others.shape))
    return np.append(changed, rest)
