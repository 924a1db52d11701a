"""The steps of a throughput plan on the residues of a block modulo one prime, by numpy. No key is involved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from entry.modular import reduce_, times
from secure.coded.plan import BatchPlan, Linear, Product, Quadratic, Select, Step, Sum
from secure.residues.constants import check_prime, code_limit, column_slices, modulo

Array = NDArray[np.float64]


def run_plan(plan: BatchPlan, prime: int, inputs: Array) -> Array:
    """(outputs, parts, N) centred residues of the outputs, of inputs (features, 2, N) likewise.

    Raises: PlanError for a prime or a layer whose products may leave float64's exact range.
    """
    check_prime(plan, prime)
    values = [inputs]
    for step in plan.steps:
        values.append(_run(step, [values[source] for source in step.sources], prime))
    return values[-1]


def _run(step: Step, sources: list[Array], prime: int) -> Array:
    match step:
        case Linear():
            return _linear(step, sources[0], prime)
        case Quadratic():
            return _quadratic(step, sources[0], prime)
        case Product():
            return _product(sources[0], sources[1], prime)
        case Sum():
            return _sum(step, sources, prime)
        case Select():
            return _select(step, sources, prime)
    raise TypeError(f"{type(step).__name__} is no step of a plan")


def _linear(step: Linear, x: Array, prime: int) -> Array:
    matrix = step.matrix(len(x))
    flat = x.reshape(len(x), -1)
    result = np.zeros((step.features, flat.shape[1]))
    for first, end in column_slices(step, len(x), code_limit(step, prime)):
        result += matrix[:, first:end] @ flat[first:end]
        reduce_(result, prime)
    result = result.reshape(step.features, *x.shape[1:])
    result[:, 0] += modulo(step.bias, prime)[:, None]
    return reduce_(result, prime)


def _quadratic(step: Quadratic, x: Array, prime: int) -> Array:
    square, linear, constant = (modulo(row, prime)[:, None] for row in (step.square, step.linear, step.constant))
    result = _product(x, x, prime)
    if np.any(square != 1):
        result = times(result, square[:, None], prime)
    if np.any(linear != 0):
        result[:, : x.shape[1]] += times(x, linear[:, None], prime)
    result[:, 0] += constant
    return reduce_(result, prime)


def _product(x: Array, y: Array, prime: int) -> Array:
    """The product of two ciphertexts by feature: one part less than they have together."""
    result = np.zeros((len(x), x.shape[1] + y.shape[1] - 1, x.shape[2]))
    for left in range(x.shape[1]):
        for right in range(y.shape[1]):
            result[:, left + right] += times(x[:, left], y[:, right], prime)
    return reduce_(result, prime)


def _sum(step: Sum, sources: list[Array], prime: int) -> Array:
    result = np.zeros((step.features, max(x.shape[1] for x in sources), sources[0].shape[2]))
    for x, row in zip(sources, modulo(step.factors, prime), strict=True):
        result[:, : x.shape[1]] += times(x, row[:, None, None], prime)
        reduce_(result, prime)
    return result


def _select(step: Select, sources: list[Array], prime: int) -> Array:
    parts = max(x.shape[1] for x in sources)
    padded = [np.pad(x, ((0, 0), (0, parts - x.shape[1]), (0, 0))) for x in sources]
    chosen = np.concatenate(padded)[step.indices]
    chosen[step.indices < 0] = 0
    return times(chosen, modulo(step.factors, prime)[:, None, None], prime)
