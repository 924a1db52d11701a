"""Program: a network as steps over real numbers whose matrices are already whole. Scales are not chosen yet.

Value 0 is the flat input, value k the result of form k - 1, the last value the output, as in a `BatchPlan`. A form says
what a step computes in the units of the network. `secure.coded.scaling` turns forms into steps over integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Form:
    """One value. layer: the network's node that it belongs to. sources: the values that it reads."""

    layer: str
    sources: tuple[int, ...]

    @property
    def features(self) -> int:
        raise NotImplementedError

    def apply(self, *inputs: Array) -> Array:
        """The value for inputs (features, rows), in the network's units: (features, rows)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LinearForm(Form):
    """steps * (codes @ x) + bias. codes: a CSR matrix of whole numbers, int64. steps: (features,), above 0."""

    codes: sparse.csr_matrix
    steps: Array
    bias: Array

    @property
    def features(self) -> int:
        return len(self.bias)

    def apply(self, *inputs: Array) -> Array:
        return np.asarray(self.steps[:, None] * (self.codes @ inputs[0]) + self.bias[:, None])


@dataclass(frozen=True, kw_only=True)
class QuadraticForm(Form):
    """square * x^2 + linear * x + constant; three arrays (features,)."""

    square: Array
    linear: Array
    constant: Array

    @property
    def features(self) -> int:
        return len(self.square)

    @property
    def is_affine(self) -> bool:
        return not self.square.any()

    def apply(self, *inputs: Array) -> Array:
        x = inputs[0]
        return (self.square[:, None] * x + self.linear[:, None]) * x + self.constant[:, None]


@dataclass(frozen=True, kw_only=True)
class ProductForm(Form):
    """The product of two values of so many features."""

    size: int

    @property
    def features(self) -> int:
        return self.size

    def apply(self, *inputs: Array) -> Array:
        return inputs[0] * inputs[1]


@dataclass(frozen=True, kw_only=True)
class SumForm(Form):
    """The sum over all sources of weights[source] * x, plus constant; (sources, features) and (features,)."""

    weights: Array
    constant: Array

    @property
    def features(self) -> int:
        return len(self.constant)

    def apply(self, *inputs: Array) -> Array:
        total = self.constant[:, None] + self.weights[0][:, None] * inputs[0]
        for weights, x in zip(self.weights[1:], inputs[1:], strict=True):
            total = total + weights[:, None] * x
        return total


@dataclass(frozen=True, kw_only=True)
class SelectForm(Form):
    """Features of the sources, laid one after the other, in any order. indices: (features,) int64; -1 gives zero."""

    indices: NDArray[np.int64]

    @property
    def features(self) -> int:
        return len(self.indices)

    def apply(self, *inputs: Array) -> Array:
        whole = np.concatenate([*inputs, np.zeros((1, inputs[0].shape[1]))])
        return whole[self.indices]


@dataclass(frozen=True)
class Program:
    """inputs: features of one input. forms: in order of execution; the last one is the output."""

    inputs: int
    forms: tuple[Form, ...]

    def features_of(self, value: int) -> int:
        return self.inputs if value == 0 else self.forms[value - 1].features

    def run(self, rows: Array) -> list[Array]:
        """All values, each (features, rows), for flat inputs (rows, features); complex where the inputs are."""
        values = [np.asarray(rows, dtype=np.result_type(rows, np.float64)).T]
        for form in self.forms:
            values.append(form.apply(*(values[source] for source in form.sources)))
        return values

    def readers(self) -> list[list[int]]:
        """For every value, the numbers of the forms that read it; a form that reads it twice stands twice."""
        found: list[list[int]] = [[] for _ in range(len(self.forms) + 1)]
        for number, form in enumerate(self.forms):
            for source in form.sources:
                found[source].append(number)
        return found

    def without(self, number: int, forms: list[Form]) -> Program:
        """The program of `forms` without form `number`, whose readers read its first source instead."""
        removed, instead = number + 1, forms[number].sources[0]

        def moved(value: int) -> int:
            value = instead if value == removed else value
            return value - (value > removed)

        kept = [form for place, form in enumerate(forms) if place != number]
        return Program(
            self.inputs,
            tuple(replace(form, sources=tuple(moved(value) for value in form.sources)) for form in kept),
        )
