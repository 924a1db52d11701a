"""Throughput plans with random codes whose kernels are timed: single layers and squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from secure.coded.plan import BatchPlan, Linear, Quadratic, Step
from secure.params import make_params

FIRST_BITS = 6
Matrix = Any  # scipy's sparse matrices have no types


def layer_alone(rows: int, columns: int, density: float) -> BatchPlan:
    """One linear layer."""
    matrix = random_matrix(np.random.default_rng(0), rows, columns, density, FIRST_BITS)
    return plan_of(columns, [linear_step(matrix, 0)])


def squares_alone(features: int, squares: int) -> BatchPlan:
    """Squares one after the other, and one of their results as output."""
    last = sparse.csr_matrix(([1], ([0], [0])), shape=(1, features))
    return plan_of(features, [*(square_step(features, level) for level in range(squares)), linear_step(last, squares)])


def plan_of(inputs: int, steps: Sequence[Step], bits: Sequence[int] = (41,), degree: int = 2048) -> BatchPlan:
    """A plan of these steps with an input scale of 1."""
    return BatchPlan(params=make_params(degree, bits, None), inputs=inputs, input_scale=1.0, steps=tuple(steps))


def random_codes(generator: np.random.Generator, shape: tuple[int, ...], density: float, bits: int) -> Any:
    """Signed codes of so many bits; density: share of them that is not zero."""
    largest = 2 ** (bits - 1) - 1
    signs = generator.choice([-1, 1], shape)
    return signs * generator.integers(1, largest, shape, endpoint=True) * (generator.random(shape) < density)


def random_matrix(generator: np.random.Generator, rows: int, columns: int, density: float, bits: int) -> Matrix:
    """A sparse matrix of `random_codes`."""
    return sparse.csr_matrix(random_codes(generator, (rows, columns), density, bits))


def linear_step(matrix: Matrix, source: int) -> Linear:
    """A linear step of the value `source`, without bias."""
    matrix.sort_indices()
    return Linear(
        layer=f"linear{source}",
        sources=(source,),
        scales=np.ones(matrix.shape[0]),
        starts=matrix.indptr.astype(np.int64),
        columns=matrix.indices.astype(np.int32),
        codes=matrix.data.astype(np.int32),
        bias=np.zeros(matrix.shape[0]),
    )


def square_step(features: int, source: int) -> Quadratic:
    """The squares of the value `source`."""
    zeros = np.zeros(features)
    return Quadratic(
        layer=f"square{source}",
        sources=(source,),
        scales=np.ones(features),
        square=np.ones(features),
        linear=zeros,
        constant=zeros,
    )
