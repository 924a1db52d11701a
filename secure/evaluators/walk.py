"""The walk along a Plan. The encrypted run, the run in clear and the dry run are walks with different evaluators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from compress.errors import BackendError, PlanError
from secure.plan import PAIRED, Kind, Op, Plan

Value = TypeVar("Value")


class Evaluator(Protocol[Value]):
    """The operations of a plan. Values have a type of the evaluator's own; `op.constant` is an index into
    plan.constants."""

    def rotate(self, value: Value, op: Op) -> Value: ...
    def conjugate(self, value: Value, op: Op) -> Value: ...
    def multiply_plain(self, value: Value, op: Op) -> Value: ...
    def add(self, left: Value, right: Value, op: Op) -> Value: ...
    def add_plain(self, value: Value, op: Op) -> Value: ...
    def square(self, value: Value, op: Op) -> Value: ...
    def multiply(self, left: Value, right: Value, op: Op) -> Value: ...
    def relinearize(self, value: Value, op: Op) -> Value: ...
    def rescale(self, value: Value, op: Op) -> Value: ...
    def drop(self, value: Value, op: Op) -> Value: ...


def walk(
    plan: Plan,
    evaluator: Evaluator[Value],
    inputs: Sequence[Value],
    on_op: Callable[[int, Op, Value], None] | None = None,
) -> list[Value]:
    """The plan's outputs for these inputs. Every value is dropped after its last use, so memory depends on the plan's
    width.

    on_op(value id, operation, result) is called after every operation.
    Raises: PlanError for the wrong number of inputs; BackendError naming layer and operation where the evaluator fails.
    """
    if len(inputs) != plan.inputs:
        raise PlanError("input", f"{len(inputs)} ciphertexts were given, the plan takes {plan.inputs}")
    values: dict[int, Value] = dict(enumerate(inputs))
    unary = {
        Kind.ROTATE: evaluator.rotate,
        Kind.CONJUGATE: evaluator.conjugate,
        Kind.MULTIPLY_PLAIN: evaluator.multiply_plain,
        Kind.ADD_PLAIN: evaluator.add_plain,
        Kind.SQUARE: evaluator.square,
        Kind.RELINEARIZE: evaluator.relinearize,
        Kind.RESCALE: evaluator.rescale,
        Kind.DROP: evaluator.drop,
    }
    binary = {Kind.ADD: evaluator.add, Kind.MULTIPLY: evaluator.multiply}
    last_use, returned = plan.last_use, frozenset(plan.outputs)
    for number, op in plan.numbered():
        try:
            if op.kind in PAIRED:
                values[number] = binary[op.kind](values[op.args[0]], values[op.args[1]], op)
            else:
                values[number] = unary[op.kind](values[op.args[0]], op)
        except (RuntimeError, ValueError, IndexError, MemoryError) as error:
            raise BackendError(f"{op.kind} to level {op.level}: {error}", op.layer) from error
        if on_op is not None:
            on_op(number, op, values[number])
        for arg in set(op.args):
            if last_use.get(arg) == number:
                del values[arg]
        if number not in last_use and number not in returned:
            del values[number]
    return [values[output] for output in plan.outputs]
