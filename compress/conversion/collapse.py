"""Refusing a conversion that lost what the network knew, or whose values explode. Pure numpy.

A network of polynomials can look right where it was calibrated and be useless elsewhere: a quadratic of a quadratic
amplifies what lies a little outside, and training can end at a network that has forgotten most of its task.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import CollapseError
from compress.network import Multiply, Network, Polynomial, Range
from compress.scores import Scoring

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]

ADVICE = (
    "Train longer (epochs) or more slowly (learning_rate), give more data, or make the network shallower (straight)"
)

#: The largest share of what the given network achieves above chance that conversion may lose.
LARGEST_LOSS = 0.5

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
    outputs, largest, rows_outside = [], dict.fromkeys(watched, 0.0), dict.fromkeys(watched, 0)
    start = network.ranges[network.nodes[0].name]
    for first in range(0, len(rows), batch):
        part = rows[first : first + batch]
        with np.errstate(over="ignore", invalid="ignore"):
            values = network.run_all(part)
            usual = _excursions(np.asarray(part, dtype=np.float64), start) <= INPUT_EXCURSION
            for source in watched:
                found = _excursions(values[source], network.ranges[source])[usual]
                found = np.where(np.isnan(found), np.inf, found)
                largest[source] = max(largest[source], float(found.max(initial=0.0)))
                rows_outside[source] += int((found > LARGEST_EXCURSION).sum())
        outputs.append(values[network.nodes[-1].name])
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
    return np.concatenate(outputs)


def check_score(scoring: Scoring, before: Array, after: Array, wanted: NDArray[Any]) -> None:
    """Refuse a network that lost more than LARGEST_LOSS of what the given one achieves above chance.

    before, after: outputs of the two on the same rows, (count, *output shape). wanted: labels, or what the given
    network is compared with. Chance is the share of the largest class; for numbers it is R2 = 0, their mean.
    Raises: CollapseError.
    """
    first, second = scoring.share(before, wanted), scoring.share(after, wanted)
    count = len(wanted)
    if scoring.names_classes:
        chance = float(np.bincount(np.asarray(wanted, dtype=np.int64).ravel()).max()) / count
        variance = (first * (1 - first) + second * (1 - second)) / count
        score = "accuracy"
    else:
        chance = 0.0
        variance = 4 * max(first, 0.0) * (1 - first) ** 2 / count  # of R2 in large samples
        score = "R2"
    lost, known = first - second, first - chance
    if lost > LARGEST_LOSS * known and lost > LOSS_SIGMAS * sqrt(max(variance, 0.0)) and known > 0:
        raise CollapseError(
            None,
            f"conversion lost what the network knew: {score} {first:.4g} before and {second:.4g} after, on {count} "
            f"test rows, where chance is {chance:.4g}; at most {LARGEST_LOSS:.0%} of the difference may be lost. "
            f"{ADVICE}",
        )


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
