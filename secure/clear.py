"""The cleartext evaluator: slots as float64 vectors. The first thing every plan runs on, and what encryption is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from secure.evaluate import walk
from secure.plan import Op, Plan

Array = NDArray[np.float64]


class ClearEvaluator:
    """Slots (..., slots) float64; leading axes are a batch of independent inputs."""

    def __init__(self, plan: Plan) -> None:
        self._constants = [constant.slots.astype(np.float64) for constant in plan.constants]

    def rotate(self, value: Array, op: Op) -> Array:
        return np.roll(value, -op.steps, axis=-1)

    def multiply_plain(self, value: Array, op: Op) -> Array:
        return value * self._constants[op.constant]

    def add(self, left: Array, right: Array, op: Op) -> Array:
        return left + right

    def add_plain(self, value: Array, op: Op) -> Array:
        return value + self._constants[op.constant]

    def square(self, value: Array, op: Op) -> Array:
        return value * value

    def relinearize(self, value: Array, op: Op) -> Array:
        return value

    def rescale(self, value: Array, op: Op) -> Array:
        return value

    def drop(self, value: Array, op: Op) -> Array:
        return value


def run_clear(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
    """The plan's output slots, one array (..., slots) a ciphertext, from its input slots."""
    return walk(plan, ClearEvaluator(plan), [np.asarray(slots, dtype=np.float64) for slots in inputs])
