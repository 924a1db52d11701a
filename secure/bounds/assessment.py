"""What a draft with parameters promises about its error and about changed classes, from rows of inputs. Pure.

Two kinds of error are kept apart:

    systematic   from rounded plaintexts. It is fixed with the plan, so it is computed for every row, exactly
                 (`secure.bounds.rounding`)
    random       from encryption, key switches and rescales. It is drawn anew in every run, so its standard deviation
                 is computed for every row (`secure.bounds.reach`)

The bound of a row is its systematic error plus BOUND_SIGMAS standard deviations. The bound of the draft is what at most
one input in 10,000 exceeds, for inputs that are drawn like the rows. Where more inputs like the rows can be drawn
(`secure.bounds.severity`), it is read from the hardest of them; else it is extrapolated from the rows
(`secure.bounds.tail`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from secure.bounds.propagate import watched_outputs
from secure.bounds.reach import reach
from secure.bounds.rounding import rounded_outputs
from secure.bounds.sources import random_sources, source_variances, stage_rules
from secure.bounds.tail import drawn_tail, upper_mean, upper_tail
from secure.drafting.draft import Draft, Rows, gather_evidence
from secure.noise import BOUND_SIGMAS, changed_class_probabilities

Array = NDArray[np.float64]

#: Rows that every draft is assessed on, and those that one which passes is assessed on.
FEW_ROWS, MOST_ROWS = 64, 1024
#: About how many products of numbers an assessment may take for either kind of error, and how many numbers it holds in
#: memory at the same time.
MOST_PRODUCTS = 1 << 27
CHUNK_NUMBERS = 1 << 21
#: The most outputs whose random errors are computed: those with the largest errors in the search.
RANDOM_OUTPUTS = 32
#: The share of the real part in the variance of a complex slot, on average over keys.
REAL_SHARE = 0.5


@dataclass(frozen=True)
class Errors:
    """The errors of the outputs for rows of inputs, each (outputs, rows), in the outputs' units.

    systematic: with its sign. sigma: standard deviation of the random error, for a bound that holds under every key.
    mean_sigma: the same on average over keys.
    """

    systematic: Array
    sigma: Array
    mean_sigma: Array


@dataclass(frozen=True)
class Assessment:
    """What a draft promises. Errors are bounds that at most one input in 10,000 exceeds, in the outputs' units.

    systematic_error, random_error: of either kind alone; error: of their sum. disagreement: the expected share of
    inputs whose class encryption changes. disagreement_limit: its upper confidence limit at CONFIDENCE. rows: of the
    errors. class_rows: of the margins between classes. largest: the largest bound of any of the rows.
    """

    systematic_error: float
    random_error: float
    error: float
    disagreement: float
    disagreement_limit: float
    rows: int
    class_rows: int
    largest: float


def assess(draft: Draft, most_rows: int = MOST_ROWS) -> Assessment:
    """The promises of a draft with parameters, from at most so many of its rows.

    A large layout is assessed on fewer rows, at least FEW_ROWS.
    """
    rows = draft.rows
    products = sum(len(table.diagonals) for table in draft.tables) * draft.choice.slots
    count = min(most_rows, max(FEW_ROWS, MOST_PRODUCTS // products))
    errors = row_errors(draft, rows.inputs[:count])
    own = _kinds(errors)
    changed = _changed(rows, errors)
    if rows.hardest is None:
        systematic, random, error = (upper_tail(values) for values in own)
    else:
        drawn = _kinds(row_errors(draft, rows.hardest.inputs))
        systematic, random, error = (
            max(drawn_tail(values, rows.hardest.drawn), float(seen.max()))
            for values, seen in zip(drawn, own, strict=True)
        )
    return Assessment(
        # neither kind exceeds the sum, whose bound may be closer where few rows tell little about the tails
        systematic_error=min(error, systematic),
        random_error=min(error, random),
        error=error,
        disagreement=float(changed.mean()),
        disagreement_limit=upper_mean(changed),
        rows=errors.systematic.shape[1],
        class_rows=rows.outputs.shape[1],
        largest=float(own[2].max()),
    )


def _kinds(errors: Errors) -> tuple[Array, Array, Array]:
    """The largest systematic error of every row, its largest random one, and its bound, each (rows,)."""
    systematic, random = np.abs(errors.systematic), BOUND_SIGMAS * errors.sigma
    return systematic.max(axis=0), random.max(axis=0), (systematic + random).max(axis=0)


def row_errors(draft: Draft, inputs: Array) -> Errors:
    """The errors for flat inputs (rows, features).

    Random errors of a network with many weights are computed for the first rows only. Other rows get the largest of
    these for every output, and the mean square where the average over keys is asked for.
    """
    if draft.params is None or draft.output_sigmas is None:
        raise PlanError(draft.stages[-1].layer, "asked for its errors before its parameters were chosen")
    size = draft.stages[-1].size
    watched = watched_outputs(size)
    largest = np.argsort(draft.output_sigmas[watched].max(axis=1))[-RANDOM_OUTPUTS:]
    outputs = sorted(watched[place] for place in largest)
    rules, random = stage_rules(draft), random_sources(draft)
    variances = [
        random * source_variances(draft, draft.params, draft.input_scale, draft.scales, share)
        for share in (1.0, REAL_SHARE)
    ]
    shares = np.broadcast_to(draft.shares, (len(random), len(watched), 1))
    shares = shares[:, [watched.index(output) for output in outputs]]
    weights = sum(matrix.nnz for stage in draft.stages for matrix in stage.maps.values())
    known = min(len(inputs), max(FEW_ROWS, MOST_PRODUCTS // (len(outputs) * weights)))
    systematic, variance = np.empty((size, len(inputs))), np.empty((2, size, known))
    chunk = max(1, CHUNK_NUMBERS // max(draft.choice.slots, len(outputs) * max(stage.size for stage in draft.stages)))
    for start in range(0, len(inputs), chunk):
        part = slice(start, start + chunk)
        evidence = gather_evidence(draft.stages, inputs[part])
        systematic[:, part] = rounded_outputs(draft, inputs[part]) - evidence.outputs
        if start >= known:
            continue
        reached = shares * reach(draft.stages, evidence.subset(known - start), outputs).weights(rules)
        for place, own in enumerate(variances):
            found = np.tensordot(own, reached, 1)
            variance[place, :, part] = found.max(axis=0)  # of outputs that are not computed, at most about that
            variance[place, outputs, part] = found
    others = np.stack([variance[0].max(axis=1), variance[1].mean(axis=1)])
    variance = np.append(variance, np.repeat(others[:, :, None], len(inputs) - known, axis=2), axis=2)
    return Errors(systematic, np.sqrt(variance[0]), np.sqrt(variance[1]))


def _changed(rows: Rows, errors: Errors) -> Array:
    """For every row, the probability that encryption changes its class, (rows,).

    Rows whose errors were not computed get the mean square of those that were.
    """
    known = errors.systematic.shape[1]
    outputs = rows.outputs
    changed = changed_class_probabilities(outputs[:, :known], errors.systematic, errors.mean_sigma)
    if known == outputs.shape[1]:
        return changed
    typical = np.sqrt(np.mean(errors.systematic**2 + errors.mean_sigma**2, axis=1, keepdims=True))
    others = outputs[:, known:]
    return np.append(
        changed, changed_class_probabilities(others, np.zeros_like(others), np.broadcast_to(typical, others.shape))
    )
