"""Pass: two matrices in a row become one where that is less work. Pure.

A convolution with the average pooling after it has fewer non-zeros as one map than as two. Work is counted in non-zeros
and features: the parts of a ciphertext are the same on both sides.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from secure.coded.forms import LinearForm, Program

Array = NDArray[np.float64]

#: What writing and reducing a feature costs, in non-zeros.
FEATURE_WORK = 10
#: Codes of a merged matrix stay below this, so that products with residues stay exact.
LARGEST_MERGED_CODE = 2**12
#: Steps that differ less than this are one step.
SAME = 1e-12


def merge_linear(program: Program) -> Program:
    """The program with the fewest non-zeros that merging pairs one by one leads to."""
    refused: set[tuple[int, int]] = set()
    while True:
        readers = program.readers()
        pairs = [
            (number, form.sources[0] - 1)
            for number, form in enumerate(program.forms)
            if isinstance(form, LinearForm)
            and form.sources[0] > 0
            and isinstance(program.forms[form.sources[0] - 1], LinearForm)
            and len(readers[form.sources[0]]) == 1
            and (number, form.sources[0] - 1) not in refused
        ]
        best: tuple[float, int, LinearForm] | None = None
        for second, first in pairs:
            one, two = program.forms[first], program.forms[second]
            assert isinstance(one, LinearForm) and isinstance(two, LinearForm)
            merged = _merged(one, two)
            saved = 0.0 if merged is None else _work(one) + _work(two) - _work(merged)
            if merged is None or saved <= 0:
                refused.add((second, first))
            elif best is None or saved > best[0]:
                best = saved, second, merged
        if best is None:
            return program
        _, second, merged = best
        forms = list(program.forms)
        first = forms[second].sources[0] - 1
        forms[second] = replace(merged, sources=(first + 1,))
        program = program.without(first, forms)
        refused.clear()


def _work(form: LinearForm) -> float:
    return float(form.codes.nnz + FEATURE_WORK * form.features)


def _merged(first: LinearForm, second: LinearForm) -> LinearForm | None:
    """The second map after the first; None if steps differ in what a row adds up, or if codes get too large."""
    read = first.steps[second.codes.indices]
    lengths = np.diff(second.codes.indptr)
    rows = np.flatnonzero(lengths)
    steps = np.ones(second.features)
    if len(rows):
        starts = second.codes.indptr[rows]
        low, high = np.minimum.reduceat(read, starts), np.maximum.reduceat(read, starts)
        if (high > low * (1 + SAME)).any():
            return None
        steps[rows] = second.steps[rows] * high
    codes = sparse.csr_matrix(second.codes @ first.codes)
    codes.eliminate_zeros()
    if np.abs(codes.data).max(initial=0) >= LARGEST_MERGED_CODE:
        return None
    layer = max(first, second, key=lambda form: form.codes.nnz).layer
    bias = second.bias + second.steps * (second.codes @ first.bias)
    return LinearForm(layer=layer, sources=first.sources, codes=codes, steps=steps, bias=bias)
