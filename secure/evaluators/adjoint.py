"""Derivatives of a Plan by its input slots, in reverse mode: one walk forwards and one backwards. Pure.

All operations but squares and products of two values are linear, so the walk forwards keeps the arguments of these
only. The derivative d of a
real quantity L by a complex slot z is dL/d Re z + i dL/d Im z: a change dz of the slot changes L by Re(conj(d) dz).
Then (derived)

    y = c z        gives  d_z = conj(c) d_y
    y = conj(z)           d_z = conj(d_y)
    y = z^2               d_z = 2 conj(z) d_y
    y = z w               d_z = conj(w) d_y
    a rotation            the opposite rotation of d_y
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.evaluators.clear import ClearEvaluator
from secure.evaluators.walk import walk
from secure.plan import Kind, Op, Plan

Slots = NDArray[Any]


@dataclass(frozen=True)
class Tape:
    """What a walk in clear kept.

    values: the wanted values by id. factors: the arguments of every square and product, by its id. constants: the
    evaluator's.
    """

    plan: Plan
    values: Mapping[int, Slots]
    factors: Mapping[int, tuple[Slots, ...]]
    constants: Sequence[Slots]


class _Recorder:
    """Passes every operation to an evaluator, and keeps the arguments of squares and products."""

    def __init__(self, inner: ClearEvaluator) -> None:
        self._inner = inner
        self.factors: list[tuple[Slots, ...]] = []

    def square(self, value: Slots, op: Op) -> Slots:
        self.factors.append((value,))
        return self._inner.square(value, op)

    def multiply(self, left: Slots, right: Slots, op: Op) -> Slots:
        self.factors.append((left, right))
        return self._inner.multiply(left, right, op)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def record(plan: Plan, evaluator: ClearEvaluator, inputs: Sequence[Slots], wanted: Collection[int]) -> Tape:
    """Walk the plan on slots (..., slots), one array per ciphertext, and keep the wanted values, which may be inputs.

    Raises: PlanError, BackendError as `walk` does.
    """
    recorder: Any = _Recorder(evaluator)
    values = {value: slots for value, slots in enumerate(inputs) if value in wanted}

    def keep(number: int, op: Op, result: Slots) -> None:
        if number in wanted:
            values[number] = result

    walk(plan, recorder, inputs, keep)
    products = [number for number, op in plan.numbered() if op.kind in (Kind.SQUARE, Kind.MULTIPLY)]
    return Tape(plan, values, dict(zip(products, recorder.factors, strict=True)), evaluator.constants)


def pull_back(tape: Tape, derivatives: Mapping[int, Slots]) -> list[Slots]:
    """The derivatives of a quantity by the input slots, one array per input ciphertext.

    derivatives: by value id, how the quantity depends directly on values of the plan. The dependence through later
    values is added here.
    """
    plan = tape.plan
    open_: dict[int, Slots] = dict(derivatives)

    def add(value: int, share: Slots) -> None:
        open_[value] = open_[value] + share if value in open_ else share

    for number, op in reversed(list(plan.numbered())):
        found = open_.pop(number, None)
        if found is None:
            continue
        match op.kind:
            case Kind.ROTATE:
                add(op.args[0], np.roll(found, op.steps, axis=-1))
            case Kind.CONJUGATE:
                add(op.args[0], np.conj(np.roll(found, op.steps, axis=-1)))
            case Kind.MULTIPLY_PLAIN:
                add(op.args[0], np.conj(tape.constants[op.constant]) * found)
            case Kind.SQUARE:
                add(op.args[0], 2 * np.conj(tape.factors[number][0]) * found)
            case Kind.MULTIPLY:
                left, right = tape.factors[number]
                add(op.args[0], np.conj(right) * found)
                add(op.args[1], np.conj(left) * found)
            case Kind.ADD:
                add(op.args[0], found)
                add(op.args[1], found)
            case Kind.ADD_PLAIN | Kind.RELINEARIZE | Kind.RESCALE | Kind.DROP:
                add(op.args[0], found)
    some = next(iter(derivatives.values()))
    return [open_.get(value, np.zeros_like(some)) for value in range(plan.inputs)]
