"""Which inputs of many have the largest errors, whatever the plan: found before any draft is made. Pure.

Every plan errs at the same places of a network, by amounts of its own. So an input whose outputs react strongly to
small errors everywhere has large errors under every plan. That is measured by running the network with such errors,
which costs little. Errors of a draft are then computed for the hardest inputs alone.

Errors are compared with what the bound of an answer grows by (`secure.growth`): an input with a large answer may
have a large error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.robust import InputRange
from secure.bounds.synthetic import synthetic_rows
from secure.bounds.tail import DRAWN_EXCEEDING
from secure.drafting.draft import Hardest
from secure.growth import growth
from secure.stages.pairs import activated
from secure.stages.stages import Stage, run_stages

Array = NDArray[np.float64]

#: How many runs with errors are compared with the one without, and the errors relative to weights and values. They are
#: so small that their effects are linear.
RUNS, RELATIVE_ERROR = 3, 1e-6
#: How many inputs are drawn, about: at most, and by how many numbers and products they may take. Fewer than
#: FEWEST_DRAWN show less than the data itself.
MOST_DRAWN, FEWEST_DRAWN = 40_000, 10_000
MOST_NUMBERS, MOST_PRODUCTS = 1 << 22, 1 << 28
#: The fewest rows that a distribution is fitted to, and the most, which show its tails well enough.
FEWEST_ROWS, MOST_ROWS = 20, 4000
#: How many of the drawn inputs are kept: all of the hardest, and some of so many times as many that come next, and of
#: the rest. How many of the data's rows are kept, the hardest ones.
KEPT, KEPT_NEXT, NEXT_TIMES, KEPT_REST, KEPT_ROWS = 96, 48, 20, 64, 16
#: How many of the drawn inputs with the largest values of a stage are kept, of each stage.
KEPT_PER_STAGE = 4
#: How many inputs run at the same time.
CHUNK_ROWS = 4096


@dataclass(frozen=True)
class _Found:
    """severity: (rows,). sizes: the largest absolute value of every stage, (stages, rows)."""

    severity: Array
    sizes: Array


def hardest_inputs(stages: tuple[Stage, ...], rows: Array, accepted: InputRange, grows_beyond: float) -> Hardest | None:
    """The hardest of many inputs that are drawn like rows (rows, features), without those that a client refuses.

    grows_beyond: see `secure.growth`. None where rows are too few, and where drawing and running enough inputs
    would take too long.
    """
    weights = sum(matrix.nnz for stage in stages for matrix in stage.maps.values())
    count = min(MOST_DRAWN, MOST_NUMBERS // max(rows.shape[1], 1), MOST_PRODUCTS // weights)
    if count < FEWEST_DRAWN or len(rows) < FEWEST_ROWS:
        return None
    rng = np.random.default_rng(0)
    drawn = synthetic_rows(rows[rng.permutation(len(rows))[:MOST_ROWS]], count, rng)
    drawn = drawn[((drawn >= accepted.low) & (drawn <= accepted.high)).all(axis=1)]
    if len(drawn) < FEWEST_DRAWN:
        return None
    found = _found(stages, drawn)
    known = rows[rng.permutation(len(rows))[:count]]
    of_rows = _found(stages, known)
    inputs, shares = _strata(drawn[_order(found, grows_beyond)])
    exceeding = int(DRAWN_EXCEEDING * len(drawn))  # so many may exceed any bound, and overflow
    largest = np.argsort(found.sizes, axis=1)[:, -KEPT_PER_STAGE - exceeding : len(drawn) - exceeding]
    return Hardest(
        inputs=inputs,
        shares=shares,
        drawn=len(drawn),
        rows=len(rows),
        known=known[_order(of_rows, grows_beyond)[-KEPT_ROWS:]],
        largest=drawn[np.unique(largest)],
    )


def _strata(ordered: Array) -> tuple[Array, Array]:
    """(inputs that are kept, the share of all that each stands for). ordered: from the easiest to the hardest."""
    count, hardest = len(ordered), len(ordered) - KEPT
    middle = hardest - NEXT_TIMES * KEPT
    rest = np.linspace(0, middle - 1, KEPT_REST).astype(int)
    following = np.linspace(middle, hardest - 1, KEPT_NEXT).astype(int)
    kept = np.concatenate([rest, following, np.arange(hardest, count)])
    stands = [middle / KEPT_REST] * KEPT_REST + [NEXT_TIMES * KEPT / KEPT_NEXT] * KEPT_NEXT + [1.0] * KEPT
    return ordered[kept], np.array(stands) / count


def _order(found: _Found, grows_beyond: float) -> NDArray[np.intp]:
    """The inputs from the easiest to the hardest. Inputs whose values overflow are refused, or wrong in any case."""
    relative = found.severity / growth(found.sizes[-1], grows_beyond)
    return np.argsort(np.where(np.isfinite(relative), relative, -1.0))


def _found(stages: Sequence[Stage], inputs: Array) -> _Found:
    parts = [_severities(stages, inputs[start : start + CHUNK_ROWS]) for start in range(0, len(inputs), CHUNK_ROWS)]
    return _Found(
        np.concatenate([part.severity for part in parts]), np.concatenate([part.sizes for part in parts], axis=1)
    )


def severity(stages: Sequence[Stage], inputs: Array) -> Array:
    """How strongly the outputs react to small errors in all weights and values, (rows,). inputs: (rows, features).

    Errors of weights are the same for every call, relative to the root mean square of the weights of a map.
    """
    return _severities(stages, inputs).severity


def _severities(stages: Sequence[Stage], inputs: Array) -> _Found:
    values = run_stages(tuple(stages), inputs)[1]
    sizes = [max(float(np.median(np.abs(value))), 1e-300) for value in values]
    total = np.zeros(len(inputs))
    for run in range(RUNS):
        rng = np.random.default_rng(run)
        total += np.abs(_with_errors(stages, inputs, sizes, rng) - values[-1]).max(axis=0) ** 2
    largest = np.stack([np.abs(value).max(axis=0) for value in values])
    return _Found(np.asarray(np.sqrt(total / RUNS) / RELATIVE_ERROR), largest)


def _with_errors(stages: Sequence[Stage], inputs: Array, sizes: Sequence[float], rng: np.random.Generator) -> Array:
    """The outputs with errors, (outputs, rows). sizes: of the values of every stage."""
    disturbed = []
    for stage in stages:
        maps = {}
        for atom, matrix in stage.maps.items():
            size = RELATIVE_ERROR * np.sqrt(np.mean(matrix.data**2)) if matrix.nnz else 0.0  # trimming empties maps
            maps[atom] = matrix.copy()
            maps[atom].data = matrix.data + size * rng.normal(size=matrix.nnz)
        disturbed.append(maps)
    atoms, value = [inputs.T], inputs.T
    for stage, maps, size in zip(stages, disturbed, sizes, strict=True):
        value = np.repeat(stage.constant[:, None], len(inputs), axis=1)
        for atom, matrix in maps.items():
            value += matrix @ atoms[atom]
        value += RELATIVE_ERROR * size * rng.normal(size=value.shape)
        if stage.squared:
            atoms.append(activated(value, stage.making))
    return value
