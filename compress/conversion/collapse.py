"""Refusing a conversion that lost what the network knew, or whose values explode. Pure numpy.

A network of polynomials can look right where it was calibrated and be useless elsewhere: a quadratic of a quadratic
amplifies what lies a little outside, and training can end at a network that has forgotten most of its task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import CollapseError
from compress.network import Multiply, Network, Polynomial, Range
from compress.row_batches import by_batches
from compress.scores import Scoring

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]

ADVICE = (
    "Train longer (epochs) or more slowly (learning_rate), give more data, or make the network shallower (straight)"
)

#: The largest share of what the given network achieves above chance that conversion may lose.
LARGEST_LOSS = 0.5

#: A loss of a larger share is said in a warning.
WARNED_LOSS = 0.05

#: A loss counts if it exceeds so many standard deviations of the difference of the two scores.
LOSS_SIGMAS = 3.0

#: How far the input of an activation may lie from the middle of its calibrated range, in half widths of this range.
#: Rows that were not calibrated on reach 1 to 2 in networks that are right, and hundreds in one that explodes.
LARGEST_EXCURSION = 8.0

#: Rows that lie further outside the calibrated input range than this, in half widths, say nothing about the network.
INPUT_EXCURSION = 1.5


def checked_outputs(network: Network, rows: Rows, which: str, *, batch: int = 500) -> Array:
    """The outputs of rows (count, *input_shape), (count, *output shape). which: what the rows are, for the message.

    Raises: CollapseError when the input of an activation leaves its calibrated range by more than LARGEST_EXCURSION, or
    an output is not finite, on a row whose own values lie in the calibrated range.
    """
    watched = _watched(network)
    parts = by_batches(network, rows, lambda part: _checked(network, part, tuple(watched)), batch=batch)
    largest = {source: max(part.largest[source] for part in parts) for source in watched}
    rows_outside = {source: sum(part.outside[source] for part in parts) for source in watched}
    for source, activation in watched.items():  # in order of execution: the first one is the cause
        if rows_outside[source]:
            edge = network.ranges[source]
            raise CollapseError(
                activation,
                f"on {rows_outside[source]} of {len(rows)} {which} rows its input leaves the calibrated range "
                f"({edge.low:.3g} to {edge.high:.3g}), up to {largest[source]:.3g} half widths from its middle; "
                f"at most {LARGEST_EXCURSION:g} are allowed, as far outside a polynomial means nothing. "
                f"{ADVICE}",
            )
    return np.concatenate([part.outputs for part in parts])


@dataclass(frozen=True, eq=False)
class _Checked:
    """Outputs of a batch of rows; by watched value the largest excursion, and the rows whose excursion is too large."""

    outputs: Array
    largest: Mapping[str, float]
    outside: Mapping[str, int]


def _checked(network: Network, rows: Rows, watched: Sequence[str]) -> _Checked:
    largest, outside = {}, {}
    with np.errstate(over="ignore", invalid="ignore"):
        values = network.run_all(rows)
        usual = _excursions(np.asarray(rows, dtype=np.float64), network.ranges[network.nodes[0].name])
        for source in watched:
            found = _excursions(values[source], network.ranges[source])[usual <= INPUT_EXCURSION]
            found = np.where(np.isnan(found), np.inf, found)
            largest[source] = float(found.max(initial=0.0))
            outside[source] = int((found > LARGEST_EXCURSION).sum())
    return _Checked(values[network.nodes[-1].name], largest, outside)


def check_score(scoring: Scoring, before: Array, after: Array, wanted: NDArray[Any]) -> None:
    """Refuse a network that lost more than LARGEST_LOSS of what the given one achieves above chance.

    before, after: outputs of the two on the same rows, (count, *output shape). wanted: labels, or what the given
    network is compared with. Chance is the share of the largest class; for numbers it is R2 = 0, their mean.
    Raises: CollapseError.
    """
    lost = _lost(scoring, before, after, wanted)
    if lost.share > LARGEST_LOSS and lost.beyond_luck:
        raise CollapseError(
            None,
            f"conversion lost what the network knew: {lost.score} {lost.first:.4g} before and {lost.second:.4g} after, "
            f"on {len(wanted)} test rows, where chance is {lost.chance:.4g}; at most {LARGEST_LOSS:.0%} of the "
            f"difference may be lost. {ADVICE}, or take polynomials of degree 4 (degree)",
        )


def score_warnings(scoring: Scoring, before: Array, after: Array, wanted: NDArray[Any], degree: int) -> list[str]:
    """What to say of a network that lost more than WARNED_LOSS of what the given one achieves above chance, and why.

    Arguments as for `check_score`. degree: the largest one of its polynomials.
    """
    lost = _lost(scoring, before, after, wanted)
    if lost.share <= WARNED_LOSS or not lost.beyond_luck:
        return []
    degrees = ", or take polynomials of degree 4 (degree=4, --degree 4)" if degree < 4 else ""
    return [
        f"{lost.score} fell from {lost.first:.3f} to {lost.second:.3f} on {len(wanted)} test rows by conversion; "
        f"train longer (epochs=, --epochs){degrees}"
    ]


@dataclass(frozen=True)
class _Lost:
    """Two scores on the same rows. share: of what the first is above chance, what the second lost; 0 for nothing."""

    score: str
    first: float
    second: float
    chance: float
    sigma: float

    @property
    def share(self) -> float:
        known = self.first - self.chance
        return (self.first - self.second) / known if known > 0 else 0.0

    @property
    def beyond_luck(self) -> bool:
        return self.first - self.second > LOSS_SIGMAS * self.sigma


def _lost(scoring: Scoring, before: Array, after: Array, wanted: NDArray[Any]) -> _Lost:
    """What conversion lost, with the standard deviation of the difference; arguments as for `check_score`."""
    first, second = scoring.share(before, wanted), scoring.share(after, wanted)
    count = len(wanted)
    if scoring.names_classes:
        chance = float(np.bincount(np.asarray(wanted, dtype=np.int64).ravel()).max()) / count
        variance = (first * (1 - first) + second * (1 - second)) / count
        return _Lost("accuracy", first, second, chance, sqrt(max(variance, 0.0)))
    variance = 4 * max(first, 0.0) * (1 - first) ** 2 / count  # of R2 in large samples
    return _Lost("R2", first, second, 0.0, sqrt(variance))


def _watched(network: Network) -> Mapping[str, str]:
    """By name of a value that is squared or multiplied, the first activation that does it, in order of execution."""
    found: dict[str, str] = {}
    for node in network.nodes:
        if isinstance(node, Multiply) or (isinstance(node, Polynomial) and node.degree > 1):
            for source in node.inputs:
                found.setdefault(source, node.name)
    return found


def _excursions(values: Array, edge: Range) -> Array:
    """By row, how far the values (count, ...) lie from the middle of a range at most, in half widths; (count,)."""
    middle, half = (edge.low + edge.high) / 2, (edge.high - edge.low) / 2
    return np.asarray(np.abs(values - middle).reshape(len(values), -1).max(axis=1) / (half or 1.0))
