"""Inputs beyond few rows: the hardest of many that are drawn like them, and how large outputs get there. Pure.

Noise enters at the inputs alone. So an input is hard if small errors of its features move the outputs far, which a few
runs with such errors show. Gains are computed for the hardest inputs only (as in `secure.bounds.severity`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.network import Network
from compress.robust import InputRange
from secure.bounds.severity import FEWEST_DRAWN, FEWEST_ROWS, KEPT, MOST_DRAWN, MOST_NUMBERS, MOST_PRODUCTS, MOST_ROWS
from secure.bounds.synthetic import synthetic_rows
from secure.coded.derivatives import common_gains
from secure.coded.forms import LinearForm, Program

Array = NDArray[np.float64]

#: How many runs with errors are compared with the one without, and the errors relative to the spread of the inputs.
#: They are so small that their effects are linear.
RUNS, RELATIVE_ERROR = 3, 1e-6
#: How many inputs run at the same time.
CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Hardest:
    """The hardest inputs of `drawn`. inputs: (count, features). outputs: the network's, (count, outputs). gains: as of
    `Evidence`, (outputs, count). largest: the largest absolute outputs of all that were drawn, (outputs,)."""

    inputs: Array
    outputs: Array
    gains: Array
    largest: Array
    drawn: int


def hardest_inputs(
    network: Network, program: Program, rows: Array, accepted: InputRange, watched: list[int]
) -> Hardest | None:
    """The hardest of many inputs that are drawn like rows (rows, features), without those that a client refuses.

    watched: outputs whose gains are computed; the others get the largest of theirs. None where rows are too few or
    many, and where drawing and running enough inputs would take too long.
    """
    weights = sum(form.codes.nnz for form in program.forms if isinstance(form, LinearForm)) or 1
    count = min(MOST_DRAWN, MOST_NUMBERS // program.inputs, MOST_PRODUCTS // weights)
    if count < FEWEST_DRAWN or not FEWEST_ROWS <= len(rows) <= MOST_ROWS:
        return None
    drawn = synthetic_rows(rows, count, np.random.default_rng(0))
    drawn = drawn[((drawn >= accepted.low) & (drawn <= accepted.high)).all(axis=1)]
    if len(drawn) < FEWEST_DRAWN:
        return None
    parts = [_severity(program, drawn[start : start + CHUNK_ROWS]) for start in range(0, len(drawn), CHUNK_ROWS)]
    severe = np.concatenate([severity for severity, _ in parts])
    inputs = drawn[np.argsort(np.where(np.isfinite(severe), severe, -1.0))[-KEPT:]]
    return Hardest(
        inputs=inputs,
        outputs=network.run(inputs.reshape(-1, *network.input_shape)).reshape(len(inputs), -1),
        gains=gains_of(program, inputs, watched),
        largest=np.max([largest for _, largest in parts], axis=0),
        drawn=len(drawn),
    )


def gains_of(program: Program, inputs: Array, watched: list[int]) -> Array:
    """The gains of all outputs, (outputs, rows), for inputs (rows, features)."""
    own = np.einsum("oor->or", common_gains(program, inputs, watched))
    gains = np.repeat(own.max(axis=0, keepdims=True), program.forms[-1].features, axis=0)
    gains[watched] = own
    return gains


def _severity(program: Program, inputs: Array) -> tuple[Array, Array]:
    """(how far errors of the inputs move the outputs, (rows,); the largest absolute outputs, (outputs,))."""
    size = RELATIVE_ERROR * max(float(inputs.std()), 1e-300)
    plain = program.run(inputs)[-1]
    total = np.zeros(len(inputs))
    for run in range(RUNS):
        errors = size * np.random.default_rng(run).normal(size=inputs.shape)
        total += np.abs(program.run(inputs + errors)[-1] - plain).max(axis=0) ** 2
    return total, np.abs(plain).max(axis=1)
