"""One walk, several evaluators: the encrypted run, the clear run and the dry run follow the same Plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from secure.plan import Kind, Op, Plan

Value = TypeVar("Value")


class Evaluator(Protocol[Value]):
    """What a backend must do; values are its ciphertexts, `constant` an index into the plan's constants."""

    def rotate(self, value: Value, op: Op) -> Value: ...
    def multiply_plain(self, value: Value, op: Op) -> Value: ...
    def add(self, left: Value, right: Value, op: Op) -> Value: ...
    def add_plain(self, value: Value, op: Op) -> Value: ...
    def square(self, value: Value, op: Op) -> Value: ...
    def relinearize(self, value: Value, op: Op) -> Value: ...
    def rescale(self, value: Value, op: Op) -> Value: ...
    def drop(self, value: Value, op: Op) -> Value: ...


def walk(plan: Plan, evaluator: Evaluator[Value], inputs: Sequence[Value]) -> list[Value]:
    """The plan's outputs from its inputs; every value is let go after its last use."""
    values: dict[int, Value] = dict(enumerate(inputs))
    unary = {
        Kind.ROTATE: evaluator.rotate,
        Kind.MULTIPLY_PLAIN: evaluator.multiply_plain,
        Kind.ADD_PLAIN: evaluator.add_plain,
        Kind.SQUARE: evaluator.square,
        Kind.RELINEARIZE: evaluator.relinearize,
        Kind.RESCALE: evaluator.rescale,
        Kind.DROP: evaluator.drop,
    }
    last_use = plan.last_use
    for number, op in plan.numbered():
        if op.kind is Kind.ADD:
            values[number] = evaluator.add(values[op.args[0]], values[op.args[1]], op)
        else:
            values[number] = unary[op.kind](values[op.args[0]], op)
        for arg in set(op.args):
            if last_use.get(arg) == number:
                del values[arg]
    return [values[output] for output in plan.outputs]
