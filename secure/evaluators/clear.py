"""The evaluator in clear: slots as float64 or complex128 vectors. Encrypted results are compared with it.

With a noise seed it adds errors as CKKS does, so that accuracy can be predicted on thousands of images without
encryption. Slots are complex then, as in CKKS: half of an error's variance is imaginary, which changes real parts only
after a square.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from secure import noise
from secure.encoding import encoding_error
from secure.evaluators.walk import walk
from secure.plan import Op, Plan

Array = NDArray[np.float64]


class ClearEvaluator:
    """Values are arrays of slots (..., slots), float64 or complex128. Leading axes are a batch of independent inputs.

    Constants stay in the precision of the plan, half as large; operations with values widen them.
    """

    def __init__(self, plan: Plan) -> None:
        self.constants: list[NDArray[Any]] = [constant.slots for constant in plan.constants]

    def rotate(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return np.roll(value, -op.steps, axis=-1)

    def conjugate(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return np.conj(np.roll(value, -op.steps, axis=-1))

    def multiply_plain(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return value * self.constants[op.constant]

    def add(self, left: NDArray[Any], right: NDArray[Any], op: Op) -> NDArray[Any]:
        return left + right

    def add_plain(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return value + self.constants[op.constant]

    def square(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return value * value

    def multiply(self, left: NDArray[Any], right: NDArray[Any], op: Op) -> NDArray[Any]:
        return left * right

    def relinearize(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return value

    def rescale(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return value

    def drop(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return value


class NoisyClearEvaluator(ClearEvaluator):
    """The evaluator in clear with errors: constants as an encoder rounds them, and Gaussian noise of the variances in
    noise.py.

    The rounding of constants is exact. The noise is an approximation, since CKKS errors are not independent.
    """

    def __init__(self, plan: Plan, seed: int) -> None:
        super().__init__(plan)
        self._plan = plan
        self._degree = plan.params.poly_modulus_degree
        self._seed = seed
        self.constants = [
            slots + encoding_error(slots, constant.scale)
            for slots, constant in zip(map(_wide, self.constants), plan.constants, strict=True)
        ]
        self.restart()

    def restart(self) -> None:
        """Start the random errors anew: the next run has the same errors as the first, for as many inputs."""
        self._random = np.random.default_rng(self._seed)

    def fresh(self, slots: NDArray[Any]) -> NDArray[Any]:
        """An input with the error of a fresh encryption."""
        return self._noisy(slots, noise.fresh_variance(self._degree), self._plan.input_scale)

    def rotate(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return self._switched(super().rotate(value, op), op)

    def conjugate(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return self._switched(super().conjugate(value, op), op)

    def relinearize(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return self._switched(value, op)

    def rescale(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return self._noisy(value, noise.rescale_variance(self._degree), op.scale)

    def _switched(self, value: NDArray[Any], op: Op) -> NDArray[Any]:
        return self._noisy(value, noise.planned_key_switch_variance(self._plan.params, op.level), op.scale)

    def _noisy(self, value: NDArray[Any], variance: float, scale: float) -> NDArray[Any]:
        real, imaginary = self._random.normal(scale=sqrt(variance / 2) / scale, size=(2, *value.shape))
        return value + real + 1j * imaginary


def _wide(slots: NDArray[Any]) -> NDArray[Any]:
    """The slots as float64 or complex128."""
    return slots.astype(np.complex128 if np.iscomplexobj(slots) else np.float64)


def run_clear(plan: Plan, inputs: Sequence[NDArray[Any]], *, noise_seed: int | None = None) -> list[Array]:
    """The real parts of the plan's output slots, one array (..., slots) per ciphertext; exact without a noise seed.

    Raises: PlanError for inputs of the wrong number or width.
    """
    vectors = [_wide(np.asarray(slots)) for slots in inputs]
    if any(vector.shape[-1:] != (plan.params.slots,) for vector in vectors):
        raise PlanError(
            "input", f"got shapes {[vector.shape for vector in vectors]}; each needs {plan.params.slots} slots"
        )
    if noise_seed is None:
        outputs = walk(plan, ClearEvaluator(plan), vectors)
    else:
        evaluator = NoisyClearEvaluator(plan, noise_seed)
        outputs = walk(plan, evaluator, [evaluator.fresh(vector) for vector in vectors])
    return [np.asarray(output.real, dtype=np.float64) for output in outputs]
