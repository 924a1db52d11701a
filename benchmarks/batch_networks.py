"""Throughput plans with random codes, for measurements of the server's arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from cipherpress.timing.residue_plans import (
    FIRST_BITS,
    Matrix,
    linear_step,
    plan_of,
    random_codes,
    random_matrix,
    square_step,
)
from secure.coded.plan import BatchPlan, Step

LATER_BITS = 5


def dense_layers(widths: Sequence[int], density: float, bits: Sequence[int] = (41,), degree: int = 2048) -> BatchPlan:
    """Dense layers of random codes with a square between any two. density: share of the codes that is not zero."""
    generator, steps = np.random.default_rng(0), list[Step]()
    for place, (columns, rows) in enumerate(zip(widths, widths[1:], strict=False)):
        if place:
            steps.append(square_step(columns, len(steps)))
        code_bits = LATER_BITS if place else FIRST_BITS
        steps.append(linear_step(random_matrix(generator, rows, columns, density, code_bits), len(steps)))
    return plan_of(widths[0], steps, bits, degree)


def conv_network(density: float, bits: Sequence[int], degree: int) -> BatchPlan:
    """Like LeNet-5: 6 and 16 filters of 5 x 5, each with a square and pooling, then 256-120-84-10."""
    generator, steps = np.random.default_rng(0), list[Step]()
    for channels, size, filters, code_bits in ((1, 28, 6, FIRST_BITS), (6, 12, 16, LATER_BITS)):
        after = size - 4
        steps.append(linear_step(_convolution(generator, channels, size, filters, density, code_bits), len(steps)))
        steps.append(square_step(filters * after**2, len(steps)))
        steps.append(linear_step(_pooling(filters, after), len(steps)))
    for place, (columns, rows) in enumerate(((256, 120), (120, 84), (84, 10))):
        if place:
            steps.append(square_step(columns, len(steps)))
        steps.append(linear_step(random_matrix(generator, rows, columns, density, LATER_BITS), len(steps)))
    return plan_of(28 * 28, steps, bits, degree)


def _convolution(
    generator: np.random.Generator, channels: int, size: int, filters: int, density: float, bits: int
) -> Matrix:
    """5 x 5 filters without padding on flat (channels, size, size) inputs."""
    after = size - 4
    codes = random_codes(generator, (filters, channels, 5, 5), density, bits)
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
