"""The dry evaluator: derives level, scale and parts of every value anew and compares them with what the plan says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isclose, isfinite, log2

import numpy as np

from compress.errors import PlanError
from secure.evaluators.walk import walk
from secure.plan import PAIRED, Kind, Op, Plan, op_element

#: Allowed relative difference of scales. They are products and quotients of floats; a larger difference is an error.
SCALE_TOLERANCE = 1e-9
#: The most ciphertexts that a plan may read. More is damage or an attack: these alone take gigabytes.
MOST_INPUTS = 2**16


@dataclass(frozen=True)
class Shadow:
    """A ciphertext without its content."""

    level: int
    scale: float
    parts: int


@dataclass(frozen=True)
class DryRun:
    """Operations by (kind, working level), the Galois elements that are used, and the most ciphertexts held at once."""

    operations: Mapping[tuple[Kind, int], int]
    galois_elements: frozenset[int]
    peak_ciphertexts: int


@dataclass
class DryEvaluator:
    """Values are shadows. Every method derives the shadow of the result and compares it with the operation."""

    plan: Plan
    operations: Counter[tuple[Kind, int]] = field(default_factory=Counter)
    galois_elements: set[int] = field(default_factory=set)

    def rotate(self, value: Shadow, op: Op) -> Shadow:
        self._require(op, op.steps % self.plan.params.slots != 0, "rotates by nothing")
        return self._moved(value, op)

    def conjugate(self, value: Shadow, op: Op) -> Shadow:
        return self._moved(value, op)

    def _moved(self, value: Shadow, op: Op) -> Shadow:
        self._require(op, value.parts == 2, "moves a value that was not relinearized")
        self._require(
            op, self.plan.params.special_prime is not None, "needs a key-switching prime, the parameters have none"
        )
        self.galois_elements.add(op_element(op, self.plan.params.poly_modulus_degree))
        return self._done(op, value, value)

    def multiply_plain(self, value: Shadow, op: Op) -> Shadow:
        scale = self._constant(op, value)
        return self._done(op, value, Shadow(value.level, value.scale * scale, value.parts))

    def add(self, left: Shadow, right: Shadow, op: Op) -> Shadow:
        self._require(op, left.level == right.level, f"adds levels {left.level} and {right.level}")
        close = isclose(left.scale, right.scale, rel_tol=SCALE_TOLERANCE)
        self._require(op, close, f"adds scales {left.scale:.6g} and {right.scale:.6g}")
        self._require(op, left.parts == right.parts, f"adds {left.parts} parts to {right.parts}")
        return self._done(op, left, left)

    def add_plain(self, value: Shadow, op: Op) -> Shadow:
        scale = self._constant(op, value)
        close = isclose(scale, value.scale, rel_tol=SCALE_TOLERANCE)
        self._require(op, close, f"adds a constant of scale {scale:.6g} to {value.scale:.6g}")
        return self._done(op, value, value)

    def square(self, value: Shadow, op: Op) -> Shadow:
        self._require(op, value.parts == 2, "squares a value that was not relinearized")
        return self._done(op, value, Shadow(value.level, value.scale * value.scale, 3))

    def multiply(self, left: Shadow, right: Shadow, op: Op) -> Shadow:
        self._require(op, left.level == right.level, f"multiplies levels {left.level} and {right.level}")
        self._require(op, left.parts == right.parts == 2, "multiplies a value that was not relinearized")
        return self._done(op, left, Shadow(left.level, left.scale * right.scale, 3))

    def relinearize(self, value: Shadow, op: Op) -> Shadow:
        self._require(op, value.parts == 3, "relinearizes a value of two parts")
        self._require(
            op, self.plan.params.special_prime is not None, "needs a key-switching prime, the parameters have none"
        )
        return self._done(op, value, Shadow(value.level, value.scale, 2))

    def rescale(self, value: Shadow, op: Op) -> Shadow:
        self._require(op, value.level > 1, "rescales at the last level")
        prime = self.plan.params.data_primes[value.level - 1]
        return self._done(op, value, Shadow(value.level - 1, value.scale / prime, value.parts))

    def drop(self, value: Shadow, op: Op) -> Shadow:
        self._require(op, value.level > 1, "drops the last level")
        return self._done(op, value, Shadow(value.level - 1, value.scale, value.parts))

    def _constant(self, op: Op, value: Shadow) -> float:
        constant = self.plan.constants[op.constant]
        self._require(
            op, constant.level == value.level, f"reads a constant of level {constant.level} at level {value.level}"
        )
        self._require(op, constant.slots.shape == (self.plan.params.slots,), "reads a constant of the wrong length")
        self._require(op, bool(np.isfinite(constant.slots).all()), "reads a constant that is not finite")
        self._require(op, bool(constant.slots.any()), "reads a constant of zeros, which would uncover the ciphertext")
        self._require(
            op, isfinite(constant.scale) and constant.scale > 0, f"reads a constant of scale {constant.scale}"
        )
        return constant.scale

    def _done(self, op: Op, worked_on: Shadow, found: Shadow) -> Shadow:
        self._require(op, op.level == found.level, f"says level {op.level}, it is {found.level}")
        self._require(op, op.parts == found.parts, f"says {op.parts} parts, it has {found.parts}")
        close = isclose(op.scale, found.scale, rel_tol=SCALE_TOLERANCE)
        self._require(op, close, f"says scale {op.scale:.9g}, it is {found.scale:.9g}")
        # a slot of size one has a coefficient of at least 1 / N, so with a larger scale ordinary numbers wrap around
        room = self.plan.params.log2_modulus(found.level) + log2(self.plan.params.poly_modulus_degree)
        self._require(
            op, log2(found.scale) < room, f"has scale 2^{log2(found.scale):.1f} where {room:.1f} bits are the most"
        )
        self.operations[op.kind, worked_on.level] += 1
        return Shadow(op.level, op.scale, op.parts)

    def _require(self, op: Op, condition: bool, message: str) -> None:
        if not condition:
            raise PlanError(op.layer, f"operation {op.kind.value} {message}; this is a defect of a compiler pass")


def dry_run(plan: Plan) -> DryRun:
    """Walk the plan without content.

    Raises: PlanError naming the layer and the operation.
    """
    _check_frame(plan)
    evaluator = DryEvaluator(plan)
    alive = peak = plan.inputs

    def count_alive(number: int, op: Op, _: Shadow) -> None:
        nonlocal alive, peak
        alive += 1
        peak = max(peak, alive)
        alive -= sum(plan.last_use.get(arg) == number for arg in set(op.args))

    walk(plan, evaluator, [Shadow(plan.input_level, plan.input_scale, 2)] * plan.inputs, count_alive)
    return DryRun(dict(evaluator.operations), frozenset(evaluator.galois_elements), peak)


def _check_frame(plan: Plan) -> None:
    """Checks that need no walk: inputs, outputs, references, and fields that only some kinds of operations have."""
    if not 1 <= plan.inputs <= MOST_INPUTS:
        raise PlanError("input", f"the plan takes {plan.inputs} ciphertexts; allowed: 1 to {MOST_INPUTS}")
    if not 1 <= plan.input_level <= plan.params.levels:
        raise PlanError("input", f"level {plan.input_level}; the parameters have 1 to {plan.params.levels}")
    if not (isfinite(plan.input_scale) and plan.input_scale > 0):
        raise PlanError("input", f"scale {plan.input_scale}; it must be positive")
    for number, op in plan.numbered():
        wanted = 2 if op.kind in PAIRED else 1
        if len(op.args) != wanted or not all(0 <= arg < number for arg in op.args):
            raise PlanError(
                op.layer, f"operation {op.kind}, value {number}, reads {op.args}; {wanted} earlier values are needed"
            )
        takes_constant = op.kind in (Kind.MULTIPLY_PLAIN, Kind.ADD_PLAIN)
        if not (0 <= op.constant < len(plan.constants) if takes_constant else op.constant == -1):
            raise PlanError(op.layer, f"operation {op.kind} reads constant {op.constant}, which it does not have")
        if op.kind not in (Kind.ROTATE, Kind.CONJUGATE) and op.steps != 0:
            raise PlanError(op.layer, f"operation {op.kind} has {op.steps} steps and does not rotate")
    if not plan.outputs or not all(0 <= value < plan.inputs + len(plan.ops) for value in plan.outputs):
        raise PlanError("output", f"the plan returns values {plan.outputs}, which it does not have")
