"""How far small errors of the inputs reach: reverse mode through a Program. Pure.

Encryption disturbs every input feature of every image by itself, and everything after it is exact. So the variance of
an output is that of one input feature times its gain, the sum of its squared derivatives by all input features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secure.coded.forms import Form, LinearForm, ProductForm, Program, QuadraticForm, SelectForm, SumForm

Array = NDArray[np.float64]


def common_gains(program: Program, rows: Array, outputs: Sequence[int]) -> Array:
    """For flat inputs (rows, features), the gains of these outputs and what each two have in common.

    (outputs, outputs, rows): the sums of products of two outputs' derivatives by all input features. The gain of a
    difference of two outputs follows from it.
    """
    values = program.run(rows)
    gradients = np.stack([_gradient(program, values, output) for output in outputs])
    return np.einsum("ofr,pfr->opr", gradients, gradients, optimize=True)


def _gradient(program: Program, values: list[Array], output: int) -> Array:
    """The derivatives of one output by the inputs, (features, rows), for all values of the program."""
    reached: dict[int, Array] = {len(program.forms): np.zeros_like(values[-1])}
    reached[len(program.forms)][output] = 1.0
    for value in range(len(program.forms), 0, -1):
        if value not in reached:
            continue  # nothing that the output depends on reads it
        form, own = program.forms[value - 1], reached.pop(value)
        for source, part in zip(form.sources, pulled_back(form, [values[s] for s in form.sources], own), strict=True):
            reached[source] = reached[source] + part if source in reached else part
    return reached.get(0, np.zeros_like(values[0]))


def pulled_back(form: Form, inputs: list[Array], gradient: Array) -> list[Array]:
    """The derivatives by each source, (features, rows), given those by the form's value."""
    match form:
        case LinearForm():
            return [np.asarray(form.codes.T @ (form.steps[:, None] * gradient))]
        case QuadraticForm():
            return [(2 * form.square[:, None] * inputs[0] + form.linear[:, None]) * gradient]
        case ProductForm():
            return [inputs[1] * gradient, inputs[0] * gradient]
        case SumForm():
            return [weights[:, None] * gradient for weights in form.weights]
        case SelectForm():
            whole = np.zeros((sum(len(x) for x in inputs) + 1, gradient.shape[1]))
            np.add.at(whole, form.indices, gradient)
            return list(np.split(whole[:-1], np.cumsum([len(x) for x in inputs])[:-1]))
    raise TypeError(f"layer '{form.layer}': {type(form).__name__} has no rule")
