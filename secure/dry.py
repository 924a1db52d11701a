"""The dry evaluator: levels, scales and parts only, derived anew from the operations and compared with what the plan says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isclose

from compress.errors import PlanError
from secure.evaluate import walk
from secure.plan import Kind, Op, Plan, galois_element

#: Scales are products and quotients of floats; anything above their rounding is drift.
SCALE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Shadow:
    """What is known of a ciphertext without its content."""

    level: int
    scale: float
    parts: int


@dataclass(frozen=True)
class DryRun:
    """Operations by (kind, working level), and the Galois elements the rotations use."""

    operations: Mapping[tuple[Kind, int], int]
    galois_elements: frozenset[int]


@dataclass
class DryEvaluator:
    """Carries shadows; every method derives the result and holds it against the operation."""

    plan: Plan
    operations: Counter[tuple[Kind, int]] = field(default_factory=Counter)
    galois_elements: set[int] = field(default_factory=set)

    def rotate(self, value: Shadow, op: Op) -> Shadow:
        slots = self.plan.params.slots
        self._require(op, op.steps % slots != 0, "rotates by nothing")
        self._require(op, value.parts == 2, "rotates a value that was not relinearized")
        self.galois_elements.add(galois_element(op.steps, self.plan.params.poly_modulus_degree))
        return self._done(op, value, value)

    def multiply_plain(self, value: Shadow, op: Op) -> Shadow:
        scale = self._constant(op, value)
        return self._done(op, value, Shadow(value.level, value.scale * scale, value.parts))

    def add(self, left: Shadow, right: Shadow, op: Op) -> Shadow:
        self._require(op, left.level == right.level, f"adds levels {left.level} and {right.level}")
        close = isclose(left.scale, right.scale, rel_tol=SCALE_TOLERANCE)
        self._require(op, close, f"adds scales {left.scale:.6g} and {right.scale:.6g}")
        return self._done(op, left, Shadow(left.level, left.scale, max(left.parts, right.parts)))

    def add_plain(self, value: Shadow, op: Op) -> Shadow:
        scale = self._constant(op, value)
        close = isclose(scale, value.scale, rel_tol=SCALE_TOLERANCE)
        self._require(op, close, f"adds a constant of scale {scale:.6g} to {value.scale:.6g}")
        return self._done(op, value, value)

    def square(self, value: Shadow, op: Op) -> Shadow:
        self._require(op, value.parts == 2, "squares a value that was not relinearized")
        return self._done(op, value, Shadow(value.level, value.scale**2, 3))

    def relinearize(self, value: Shadow, op: Op) -> Shadow:
        self._require(op, value.parts == 3, "relinearizes a value of two parts")
        return self._done(op, value, Shadow(value.level, value.scale, 2))

    def rescale(self, value: Shadow, op: Op) -> Shadow:
        self._require(op, value.level > 1, "rescales at the last level")
        prime = self.plan.params.data_primes[value.level - 1]
        return self._done(op, value, Shadow(value.level - 1, value.scale / prime, value.parts))

    def drop(self, value: Shadow, op: Op) -> Shadow:
        self._require(op, value.level > 1, "drops the last level")
        return self._done(op, value, Shadow(value.level - 1, value.scale, value.parts))

    def _constant(self, op: Op, value: Shadow) -> float:
        self._require(op, 0 <= op.constant < len(self.plan.constants), f"reads constant {op.constant}, which does not exist")
        constant = self.plan.constants[op.constant]
        self._require(op, constant.level == value.level, f"reads a constant of level {constant.level} at level {value.level}")
        self._require(op, bool(constant.slots.any()), "reads a constant of zeros, which would uncover the ciphertext")
        self._require(op, constant.slots.shape == (self.plan.params.slots,), "reads a constant of the wrong length")
        return constant.scale

    def _done(self, op: Op, worked_on: Shadow, found: Shadow) -> Shadow:
        self._require(op, op.level == found.level, f"says level {op.level}, it is {found.level}")
        self._require(op, op.parts == found.parts, f"says {op.parts} parts, it has {found.parts}")
        close = isclose(op.scale, found.scale, rel_tol=SCALE_TOLERANCE)
        self._require(op, close, f"says scale {op.scale:.6g}, it is {found.scale:.6g}")
        self.operations[op.kind, worked_on.level] += 1
        return Shadow(op.level, op.scale, op.parts)

    def _require(self, op: Op, condition: bool, message: str) -> None:
        if not condition:
            raise PlanError(op.layer, f"operation {op.kind.value} {message}; this is a defect of a compiler pass")


def dry_run(plan: Plan) -> DryRun:
    """Walk the plan without content.

    Raises: PlanError naming the layer and the operation.
    """
    evaluator = DryEvaluator(plan)
    walk(plan, evaluator, [Shadow(plan.input_level, plan.input_scale, 2)] * plan.inputs)
    return DryRun(dict(evaluator.operations), frozenset(evaluator.galois_elements))
