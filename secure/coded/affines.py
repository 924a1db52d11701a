"""Pass: scales and shifts of single features merge into what stands before or after them. Pure.

A shift costs a step, and a scale that differs from feature to feature costs bits where features are added up. Inside a
matrix, a polynomial or a sum both are free.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secure.coded.forms import Form, LinearForm, Program, QuadraticForm, SumForm

Array = NDArray[np.float64]

#: Scales that differ less than this are one scale.
SAME = 1e-12


def merge_affines(program: Program) -> Program:
    """The same program with fewer affine forms. Forms that nothing reads any more are left for `drop_unread`."""
    forms = list(program.forms)
    readers = program.readers()
    for number in range(len(forms)):
        merged: Form | None = forms[number]
        while merged is not None:
            forms[number] = merged
            merged = _step(forms, number, readers)
    return Program(program.inputs, tuple(forms))


def _step(forms: list[Form], number: int, readers: list[list[int]]) -> Form | None:
    """The form after one more merger with a form that it reads; None if there is none."""
    form = forms[number]
    for place, source in enumerate(form.sources):
        if source == 0:
            continue
        before = forms[source - 1]
        merged = None
        if isinstance(before, QuadraticForm) and before.is_affine:
            merged = _absorbed(before, form, place)
        if merged is None and isinstance(form, QuadraticForm) and form.is_affine and len(readers[source]) == 1:
            merged = _extended(before, form)
        if merged is not None:
            return merged
    return None


def _absorbed(before: QuadraticForm, form: Form, place: int) -> Form | None:
    """The form that reads what the affine form before it reads, in this place of its sources."""
    a, b = before.linear, before.constant
    sources = (*form.sources[:place], *before.sources, *form.sources[place + 1 :])
    match form:
        case QuadraticForm():
            return replace(
                form,
                sources=sources,
                square=form.square * a * a,
                linear=2 * form.square * a * b + form.linear * a,
                constant=(form.square * b + form.linear) * b + form.constant,
            )
        case SumForm():
            weights, constant = form.weights.copy(), form.constant + form.weights[place] * b
            weights[place] = weights[place] * a
            return replace(form, sources=sources, weights=weights, constant=constant)
        case LinearForm():
            used = np.abs(a[np.unique(form.codes.indices)])
            if not len(used) or used.min() == 0 or used.max() > used.min() * (1 + SAME):
                return None  # the matrix would need other codes
            codes = sparse.csr_matrix(form.codes @ sparse.diags(np.sign(a).astype(np.int64), dtype=np.int64))
            bias = form.bias + form.steps * (form.codes @ b)
            return replace(form, sources=sources, codes=codes, steps=form.steps * used[0], bias=bias)
    return None


def _extended(before: Form, form: QuadraticForm) -> Form | None:
    """The form before an affine one that computes what the affine one does."""
    a, b = form.linear, form.constant
    match before:
        case QuadraticForm():
            square, linear, constant = a * before.square, a * before.linear, a * before.constant + b
            return replace(before, square=square, linear=linear, constant=constant)
        case SumForm():
            return replace(before, weights=a * before.weights, constant=a * before.constant + b)
        case LinearForm():
            codes = sparse.csr_matrix(sparse.diags(np.sign(a).astype(np.int64), dtype=np.int64) @ before.codes)
            codes.eliminate_zeros()
            steps = np.where(a == 0, 1.0, np.abs(a)) * before.steps
            return replace(before, codes=codes, steps=steps, bias=a * before.bias + b)
    return None
