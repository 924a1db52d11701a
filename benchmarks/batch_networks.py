"""Throughput plans with random codes, for measurements of the server's arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from secure.coded.plan import BatchPlan, Linear, Quadratic, Step
from secure.params import make_params

FIRST_BITS, LATER_BITS = 6, 5
Matrix = Any  # scipy's sparse matrices have no types


def layer_alone(rows: int, columns: int, density: float) -> BatchPlan:
    """One linear layer."""
    matrix = _random(np.random.default_rng(0), rows, columns, density, FIRST_BITS)
    return _plan(columns, [_linear(matrix, 0)])


def squares_alone(features: int, squares: int) -> BatchPlan:
    """Squares one after the other, and one of their results as output."""
    last = sparse.csr_matrix(([1], ([0], [0])), shape=(1, features))
    return _plan(features, [*(_square(features, level) for level in range(squares)), _linear(last, squares)])


def dense_layers(widths: Sequence[int], density: float, bits: Sequence[int] = (41,), degree: int = 2048) -> BatchPlan:
    """Dense layers of random codes with a square between any two. density: share of the codes that is not zero."""
    generator, steps = np.random.default_rng(0), list[Step]()
    for place, (columns, rows) in enumerate(zip(widths, widths[1:], strict=False)):
        if place:
            steps.append(_square(columns, len(steps)))
        code_bits = LATER_BITS if place else FIRST_BITS
        steps.append(_linear(_random(generator, rows, columns, density, code_bits), len(steps)))
    return _plan(widths[0], steps, bits, degree)


def conv_network(density: float, bits: Sequence[int], degree: int) -> BatchPlan:
    """Like LeNet-5: 6 and 16 filters of 5 x 5, each with a square and pooling, then 256-120-84-10."""
    generator, steps = np.random.default_rng(0), list[Step]()
    for channels, size, filters, code_bits in ((1, 28, 6, FIRST_BITS), (6, 12, 16, LATER_BITS)):
        after = size - 4
        steps.append(_linear(_convolution(generator, channels, size, filters, density, code_bits), len(steps)))
        steps.append(_square(filters * after**2, len(steps)))
        steps.append(_linear(_pooling(filters, after), len(steps)))
    for place, (columns, rows) in enumerate(((256, 120), (120, 84), (84, 10))):
        if place:
            steps.append(_square(columns, len(steps)))
        steps.append(_linear(_random(generator, rows, columns, density, LATER_BITS), len(steps)))
    return _plan(28 * 28, steps, bits, degree)


def _plan(inputs: int, steps: Sequence[Step], bits: Sequence[int] = (41,), degree: int = 2048) -> BatchPlan:
    return BatchPlan(params=make_params(degree, bits, None), inputs=inputs, input_scale=1.0, steps=tuple(steps))


def _codes(generator: np.random.Generator, shape: tuple[int, ...], density: float, bits: int) -> Any:
    largest = 2 ** (bits - 1) - 1
    signs = generator.choice([-1, 1], shape)
    return signs * generator.integers(1, largest, shape, endpoint=True) * (generator.random(shape) < density)


def _random(generator: np.random.Generator, rows: int, columns: int, density: float, bits: int) -> Matrix:
    return sparse.csr_matrix(_codes(generator, (rows, columns), density, bits))


def _convolution(
    generator: np.random.Generator, channels: int, size: int, filters: int, density: float, bits: int
) -> Matrix:
    """5 x 5 filters without padding on flat (channels, size, size) inputs."""
    after = size - 4
    codes = _codes(generator, (filters, channels, 5, 5), density, bits)
    filter_, channel, dy, dx = np.nonzero(codes)
    y, x = (place.reshape(-1, 1) for place in np.indices((after, after)))
    rows = (filter_ * after + y) * after + x
    columns = (channel * size + y + dy) * size + x + dx
    values = np.broadcast_to(codes[codes != 0], rows.shape)
    shape = filters * after**2, channels * size**2
    return sparse.csr_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape=shape)


def _pooling(channels: int, size: int) -> Matrix:
    """Sums of 2 x 2 squares of flat (channels, size, size) inputs."""
    channel, y, x = (place.ravel() for place in np.indices((channels, size, size)))
    half = size // 2
    rows = (channel * half + y // 2) * half + x // 2
    shape = channels * half**2, channels * size**2
    return sparse.csr_matrix((np.ones(len(rows), dtype=np.int64), (rows, np.arange(len(rows)))), shape=shape)


def _linear(matrix: Matrix, source: int) -> Linear:
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


def _square(features: int, source: int) -> Quadratic:
    zeros = np.zeros(features)
    return Quadratic(
        layer=f"square{source}",
        sources=(source,),
        scales=np.ones(features),
        square=np.ones(features),
        linear=zeros,
        constant=zeros,
    )
