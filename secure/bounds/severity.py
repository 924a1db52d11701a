"""Which inputs of many have the largest errors, whatever the plan: found before any draft is made. Pure.

Every plan errs at the same places of a network, by amounts of its own. So an input whose outputs react strongly to
small errors everywhere has large errors under every plan. That is measured by running the network with such errors,
which costs little. Errors of a draft are then computed for the hardest inputs alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compress.robust import InputRange
from secure.bounds.synthetic import synthetic_rows
from secure.drafting.draft import Hardest
from secure.stages.stages import Stage, run_stages

Array = NDArray[np.float64]

#: How many runs with errors are compared with the one without, and the errors relative to weights and values. They are
#: so small that their effects are linear.
RUNS, RELATIVE_ERROR = 3, 1e-6
#: How many inputs are drawn, about: at most, and by how many numbers and products they may take. Fewer than
#: FEWEST_DRAWN show less than the data itself.
MOST_DRAWN, FEWEST_DRAWN = 40_000, 10_000
MOST_NUMBERS, MOST_PRODUCTS = 1 << 22, 1 << 28
#: The fewest rows that a distribution is fitted to, and the most: more rows show their tails by themselves.
FEWEST_ROWS, MOST_ROWS = 20, 1000
#: How many of the inputs are kept: the hardest ones.
KEPT = 96
#: How many inputs run at the same time.
CHUNK_ROWS = 4096


def hardest_inputs(stages: tuple[Stage, ...], rows: Array, accepted: InputRange) -> Hardest | None:
    """The hardest of many inputs that are drawn like rows (rows, features), without those that a client refuses.

    None where rows are too few or many, and where drawing and running enough inputs would take too long.
    """
    weights = sum(matrix.nnz for stage in stages for matrix in stage.maps.values())
    count = min(MOST_DRAWN, MOST_NUMBERS // max(rows.shape[1], 1), MOST_PRODUCTS // weights)
    if count < FEWEST_DRAWN or not FEWEST_ROWS <= len(rows) <= MOST_ROWS:
        return None
    drawn = synthetic_rows(rows, count, np.random.default_rng(0))
    drawn = drawn[((drawn >= accepted.low) & (drawn <= accepted.high)).all(axis=1)]
    if len(drawn) < FEWEST_DRAWN:
        return None
    return Hardest(_hardest(stages, drawn, KEPT), drawn=len(drawn), rows=len(rows))


def _hardest(stages: Sequence[Stage], inputs: Array, count: int) -> Array:
    """The `count` inputs with the largest severity, (count, features)."""
    found = np.concatenate(
        [severity(stages, inputs[start : start + CHUNK_ROWS]) for start in range(0, len(inputs), CHUNK_ROWS)]
    )
    return np.asarray(inputs[np.argsort(np.where(np.isfinite(found), found, -1.0))[-count:]])


def severity(stages: Sequence[Stage], inputs: Array) -> Array:
    """How strongly the outputs react to small errors in all weights and values, (rows,). inputs: (rows, features).

    Errors of weights are the same for every call, relative to the root mean square of the weights of a map.
    """
    values = run_stages(tuple(stages), inputs)[1]
    sizes = [max(float(np.median(np.abs(value))), 1e-300) for value in values]
    total = np.zeros(len(inputs))
    for run in range(RUNS):
        rng = np.random.default_rng(run)
        total += np.abs(_with_errors(stages, inputs, sizes, rng) - values[-1]).max(axis=0) ** 2
    return np.asarray(np.sqrt(total / RUNS) / RELATIVE_ERROR)


def _with_errors(stages: Sequence[Stage], inputs: Array, sizes: Sequence[float], rng: np.random.Generator) -> Array:
    """The outputs with errors, (outputs, rows). sizes: of the values of every stage."""
    disturbed = []
    for stage in stages:
        maps = {}
        for atom, matrix in stage.maps.items():
            size = RELATIVE_ERROR * np.sqrt(np.mean(matrix.data**2))
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
            atoms.append(value**2)
    return value
