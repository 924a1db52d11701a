"""What a draft with parameters promises about its error and about changed classes, from rows of inputs. Pure.

Two kinds of error are kept apart:

    systematic   from rounded plaintexts. It is fixed with the plan, so it is computed for every row, exactly
                 (`secure.bounds.rounding`)
    random       from encryption, key switches and rescales. It is drawn anew in every run, so its standard deviation
                 is computed for every row (`secure.bounds.reach`)

The bound of a row is its systematic error plus BOUND_SIGMAS standard deviations, for large answers divided by what
bounds grow by (`secure.growth`). The bound of the draft is what at most one input in 10,000 exceeds, for inputs that
are drawn like the rows. Where more inputs like the rows can be drawn (`secure.bounds.severity`), it is read from the
hardest of them; else it is extrapolated from the rows (`secure.bounds.tail`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from secure.bounds.propagate import watched_outputs
from secure.bounds.reach import reach
from secure.bounds.rounding import rounded_outputs
from secure.bounds.sources import random_sources, source_variances, stage_rules
from secure.bounds.tail import EXCEEDING, mixed_tail, upper_mean, upper_tail
from secure.drafting.draft import Draft, Hardest, Rows, gather_evidence
from secure.growth import growth
from secure.noise import BOUND_SIGMAS, changed_class_probabilities

Array = NDArray[np.float64]

#: Rows that every draft is assessed on, and those that one which passes is assessed on.
FEW_ROWS, MOST_ROWS = 64, 1024
#: About how many products of numbers an assessment may take for either kind of error, and how many numbers it holds in
#: memory at the same time.
MOST_PRODUCTS = 1 << 27
#: The same for the random errors of FEW_ROWS, of which a very large network gets fewer.
MOST_DEEP_PRODUCTS = 1 << 33
CHUNK_NUMBERS = 1 << 21
#: The same for systematic errors, whose plaintexts are rounded anew for every part of the rows.
ROUNDED_NUMBERS = 1 << 25
#: The most outputs whose random errors are computed: those with the largest errors in the search.
RANDOM_OUTPUTS = 32
#: How often the random errors of every input are drawn for a bound.
ERROR_DRAWS = 32
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
    """What a draft promises. Errors are bounds that at most one input in 10,000 exceeds, in the outputs' units, after
    they have grown with its answer (`secure.growth`).

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


def row_count(draft: Draft, most_rows: int = MOST_ROWS) -> int:
    """On how many rows a draft is assessed: a large layout on fewer, at least on FEW_ROWS."""
    products = sum(len(table.diagonals) for table in draft.tables) * draft.choice.slots
    return min(most_rows, max(FEW_ROWS, MOST_PRODUCTS // products))


def assess(draft: Draft, most_rows: int = MOST_ROWS) -> Assessment:
    """The promises of a draft with parameters, from at most so many of its rows."""
    rows, count = draft.rows, row_count(draft, most_rows)
    errors = row_errors(draft, rows.inputs[:count])
    own = _kinds(errors)
    grown = growth(np.abs(rows.outputs[:, :count]).max(axis=0), rows.grows_beyond)
    changed = _changed(rows, errors)
    if rows.hardest is None:
        systematic, random, error = (upper_tail(values / grown) for values in own)
    else:
        systematic, random, error = _of_drawn(draft, rows.hardest, np.median(own, axis=1))
    return Assessment(
        # neither kind exceeds the sum, whose bound may be closer where few rows tell little about the tails
        systematic_error=min(error, systematic),
        random_error=min(error, random),
        error=error,
        disagreement=float(changed.mean()),
        disagreement_limit=upper_mean(changed),
        rows=errors.systematic.shape[1],
        class_rows=rows.outputs.shape[1],
        largest=float((own[2] / grown).max()),
    )


def _of_drawn(draft: Draft, hardest: Hardest, usual: Array) -> tuple[float, ...]:
    """The bounds of systematic errors, of random ones and of their sum, where inputs could be drawn.

    usual: the medians over the rows of what `_kinds` says. Random errors are drawn too, so a bound is what a share of
    all answers exceeds. It is at least BOUND_SIGMAS for the usual row, and what half an answer to the known rows
    exceeds.
    """
    inputs = np.concatenate([hardest.inputs, hardest.known])
    sizes = np.abs(gather_evidence(draft.stages, inputs).outputs).max(axis=0)
    errors, grown = row_errors(draft, inputs), growth(sizes, draft.rows.grows_beyond)
    kept = len(hardest.inputs)
    exceeding = int(ERROR_DRAWS * max(0.5, EXCEEDING * hardest.rows))
    bounds = []
    for parts, floor in zip(((1, 0), (0, 1), (1, 1)), usual, strict=True):
        found = _drawn_errors(errors, parts) / grown
        shares = np.tile(hardest.shares / ERROR_DRAWS, (ERROR_DRAWS, 1))
        bound = mixed_tail(found[:, :kept].ravel(), shares.ravel(), hardest.drawn)
        known = np.sort(found[:, kept:].ravel())
        bounds.append(max(bound, float(floor), float(known[max(-exceeding, -len(known))])))
    return tuple(bounds)


def _drawn_errors(errors: Errors, parts: tuple[int, int]) -> Array:
    """The largest error of every row in several draws, (draws, rows). parts: how often systematic and random errors
    count."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(ERROR_DRAWS):
        random = errors.sigma * rng.normal(size=errors.sigma.shape)
        found.append(np.abs(parts[0] * errors.systematic + parts[1] * random).max(axis=0))
    return np.stack(found)


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
    products = len(outputs) * weights
    known = min(len(inputs), max(min(FEW_ROWS, MOST_DEEP_PRODUCTS // products), MOST_PRODUCTS // products, 1))
    systematic, variance = np.empty((size, len(inputs))), np.empty((2, size, known))
    chunk = max(1, CHUNK_NUMBERS // max(draft.choice.slots, len(outputs) * max(stage.size for stage in draft.stages)))
    for rows in _chunks(0, len(inputs), max(chunk, ROUNDED_NUMBERS // (draft.choice.slots * len(draft.stages)))):
        evidence = gather_evidence(draft.stages, inputs[rows])
        systematic[:, rows] = rounded_outputs(draft, inputs[rows]) - evidence.outputs
        for part in _chunks(rows.start, min(rows.stop, known), chunk):
            own_rows = evidence.part(slice(part.start - rows.start, part.stop - rows.start))
            reached = shares * reach(draft.stages, own_rows, outputs).weights(rules)
            for place, own in enumerate(variances):
                found = np.tensordot(own, reached, 1)
                variance[place, :, part] = found.max(axis=0)  # of outputs that are not computed, at most about that
                variance[place, outputs, part] = found
    others = np.stack([variance[0].max(axis=1), variance[1].mean(axis=1)])
    variance = np.append(variance, np.repeat(others[:, :, None], len(inputs) - known, axis=2), axis=2)
    return Errors(systematic, np.sqrt(variance[0]), np.sqrt(variance[1]))


def _chunks(first: int, end: int, size: int) -> Iterator[slice]:
    """The rows from `first` to `end`, in parts of at most so many."""
    return (slice(start, min(start + size, end)) for start in range(first, end, size))


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
