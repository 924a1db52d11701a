"""Pass: features that are the same for every input are no longer computed from others. Pure.

A row of a matrix without codes gives its bias. What reads such a feature reads a number, and a matrix adds it to its
own bias. Pruned networks have many.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secure.coded.forms import Form, LinearForm, ProductForm, Program, QuadraticForm, SelectForm, SumForm

Array = NDArray[np.float64]


def fold_constants(program: Program) -> Program:
    """The same program, whose matrices read no feature that is constant."""
    known = [np.full(program.inputs, np.nan)]  # the value of constant features, not a number for all others
    forms = []
    for form in program.forms:
        inputs = [known[source] for source in form.sources]
        folded = _folded(form, inputs[0]) if isinstance(form, LinearForm) else form
        known.append(_constant(folded, inputs))
        forms.append(folded)
    return Program(program.inputs, tuple(forms))


def _folded(form: LinearForm, source: Array) -> LinearForm:
    constant = ~np.isnan(source)
    if not constant.any():
        return form
    codes = form.codes.copy()
    codes.data = np.where(constant[codes.indices], 0, codes.data)
    codes.eliminate_zeros()
    removed = form.codes - codes
    bias = form.bias + form.steps * (removed @ np.where(constant, source, 0.0))
    return replace(form, codes=codes, bias=bias)


def _constant(form: Form, inputs: list[Array]) -> Array:
    """The value of the constant features of a form, not a number for the others."""
    match form:
        case LinearForm():
            return np.where(np.diff(form.codes.indptr) == 0, form.bias, np.nan)
        case QuadraticForm():
            flat = (form.square == 0) & (form.linear == 0)
            return np.where(flat, form.constant, (form.square * inputs[0] + form.linear) * inputs[0] + form.constant)
        case ProductForm():
            zero = (inputs[0] == 0) | (inputs[1] == 0)
            return np.where(zero, 0.0, inputs[0] * inputs[1])
        case SumForm():
            weighted = np.where(form.weights == 0, 0.0, form.weights * np.stack(inputs))
            return np.asarray(weighted.sum(axis=0) + form.constant)
        case SelectForm():
            return np.concatenate([*inputs, [0.0]])[form.indices]
    raise TypeError(f"layer '{form.layer}': {type(form).__name__} has no rule")
