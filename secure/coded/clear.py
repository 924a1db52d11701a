"""The clear run of a BatchPlan: what its integers stand for, in the units of the network, in float64. Pure.

Integers of a deep plan have hundreds of bits. So values are kept divided by their scales, which is the same function
with the same rounded constants. The inputs are not rounded: that is part of the encoder's noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.coded.plan import BatchPlan, Linear, Product, Quadratic, Select, Step, Sum

Array = NDArray[np.float64]


def run_clear(plan: BatchPlan, rows: Array) -> Array:
    """Outputs (rows, outputs) for flat inputs (rows, features of an image), in the network's units."""
    read = rows[:, list(plan.read_inputs)] if plan.read_inputs else rows
    return run_all(plan.steps, plan.inputs, plan.input_scale, with_units(read, plan.units))[-1].T


def with_units(rows: Array, units: tuple[float, ...]) -> Array:
    """Flat inputs (rows, features) with the units of a plan as their last features."""
    return np.concatenate([rows, np.broadcast_to(np.array(units), (len(rows), len(units)))], axis=1)


def run_all(steps: tuple[Step, ...], inputs: int, input_scale: float, rows: Array) -> list[Array]:
    """All values, each (features, rows), in the network's units; the input first."""
    values = [np.asarray(rows, dtype=np.result_type(rows, np.float64)).T]  # complex slots stay complex
    scales = [np.full(inputs, input_scale)]
    for step in steps:
        values.append(run_step(step, [values[s] for s in step.sources], [scales[s] for s in step.sources]))
        scales.append(step.scales)
    return values


def run_step(step: Step, inputs: list[Array], scales: list[Array]) -> Array:
    """The value of one step, (features, rows), from its sources' values and scales."""
    match step:
        case Linear():
            matrix, unit = weights_of(step, scales[0])
            return np.asarray(unit[:, None] * (matrix @ inputs[0]) + (step.bias / step.scales)[:, None])
        case Quadratic():
            square, linear, constant = coefficients_of(step, scales[0])
            return (square[:, None] * inputs[0] + linear[:, None]) * inputs[0] + constant[:, None]
        case Product():
            return inputs[0] * inputs[1]
        case Sum():
            weights = step.factors * (np.stack(scales) / step.scales)
            total = weights[0][:, None] * inputs[0]
            for own, value in zip(weights[1:], inputs[1:], strict=True):
                total += own[:, None] * value
            return total
        case Select():
            taken = np.concatenate([*inputs, np.zeros((1, inputs[0].shape[1]))])[step.indices]
            return np.asarray(taken * select_weights(step, scales)[:, None])
    raise TypeError(f"layer '{step.layer}': {type(step).__name__} has no rule")


def weights_of(step: Linear, source: Array) -> tuple[Any, Array]:
    """(matrix, unit) such that the step maps x to unit * (matrix @ x) + bias, in the network's units."""
    from scipy import sparse  # a server reads plans without scipy

    largest = source.max(initial=0.0) or 1.0
    data = step.codes * (source / largest)[step.columns]
    matrix = sparse.csr_matrix((data, step.columns, step.starts), shape=(step.features, len(source)))
    return matrix, largest / step.scales


def coefficients_of(step: Quadratic, source: Array) -> tuple[Array, Array, Array]:
    """(square, linear, constant) of a step in the network's units."""
    return (
        step.square * (source / step.scales * source),
        step.linear * (source / step.scales),
        step.constant / step.scales,
    )


def select_weights(step: Select, scales: list[Array]) -> Array:
    """What every feature of a selection is multiplied by in the network's units; 0 for features that are zero."""
    source = np.concatenate([*scales, [0.0]])[step.indices]
    return np.asarray(step.factors * source / step.scales)
