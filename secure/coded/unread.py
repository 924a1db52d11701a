"""Pass: features that no output depends on vanish, with all that only they read. Inputs stay. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secure.coded.forms import Form, LinearForm, ProductForm, Program, QuadraticForm, SelectForm, SumForm

Mask = NDArray[np.bool_]


def drop_unread(program: Program) -> Program:
    """The same outputs from fewer features."""
    masks = read_features(program)
    kept = [value for value in range(1, len(program.forms) + 1) if masks[value].any()]
    numbers = {0: 0, **{value: place for place, value in enumerate(kept, start=1)}}
    forms = []
    for value in kept:
        form = program.forms[value - 1]
        smaller = _narrowed(form, masks[value], [masks[source] for source in form.sources])
        sources = tuple(numbers[source] for source in form.sources if source in numbers)
        if not sources:  # nothing of the sources is read: the value is constant, and reads none of the inputs
            sources = (0,)
            if isinstance(smaller, LinearForm):
                smaller = replace(smaller, codes=sparse.csr_matrix((smaller.features, program.inputs), dtype=np.int64))
        forms.append(replace(smaller, sources=sources))
    return Program(program.inputs, tuple(forms))


def read_features(program: Program) -> list[Mask]:
    """For every value, which of its features the outputs depend on; all of the inputs."""
    masks = [np.zeros(program.features_of(value), dtype=bool) for value in range(len(program.forms) + 1)]
    masks[0][:] = masks[-1][:] = True
    found = 0
    while found != (found := sum(int(mask.sum()) for mask in masks)):
        for value in range(len(program.forms), 0, -1):
            form = program.forms[value - 1]
            for source, read in zip(form.sources, _read(form, masks, value), strict=True):
                masks[source] |= read
    return masks


def _read(form: Form, masks: list[Mask], value: int) -> list[Mask]:
    """Which features of every source the kept features of a form depend on.

    A form that works feature by feature has the same features as its sources, so it grows to what they keep for others.
    """
    own, sizes = masks[value], [len(masks[source]) for source in form.sources]
    match form:
        case LinearForm():
            read = np.zeros(sizes[0], dtype=bool)
            read[form.codes[own].indices] = own.any()
            return [read]
        case SelectForm():
            read = np.zeros(sum(sizes) + 1, dtype=bool)
            read[form.indices[own]] = True
            return list(np.split(read[:-1], np.cumsum(sizes)[:-1]))
    if own.any():
        for source in form.sources:
            own |= masks[source]
    return [own] * len(sizes)


def _narrowed(form: Form, own: Mask, read: list[Mask]) -> Form:
    """The form with the features `own` alone, of sources that have only the features `read`."""
    match form:
        case LinearForm():
            return replace(form, codes=form.codes[own][:, read[0]], steps=form.steps[own], bias=form.bias[own])
        case QuadraticForm():
            square, linear, constant = (array[own] for array in (form.square, form.linear, form.constant))
            return replace(form, square=square, linear=linear, constant=constant)
        case ProductForm():
            return replace(form, size=int(own.sum()))
        case SumForm():
            return replace(form, weights=form.weights[:, own], constant=form.constant[own])
        case SelectForm():
            places = np.append(np.cumsum(np.concatenate(read)) - 1, -1)
            return replace(form, indices=places[form.indices[own]])
    raise TypeError(f"layer '{form.layer}': {type(form).__name__} has no rule")
