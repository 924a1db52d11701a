"""What each spelling turns into: one rule per meaning, which adds a node's layers to a Builder or refuses the node."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from compress.coefficients import LARGEST_DEGREE
from compress.graph.building import Builder, argument, source_of
from compress.graph.moves import broadcast, move
from compress.graph.spellings import TRANSPOSE
from compress.graph.tracing import EXAMPLE_BATCH


def polynomial(build: Builder, node: fx.Node) -> None:
    build.append(node, "polynomial", module=build.module_of(node))


def activation_module(build: Builder, node: fx.Node) -> None:
    module = build.module_of(node)
    build.append(node, "activation", module=module, function=module)


def activation_function(build: Builder, node: fx.Node) -> None:
    rest = node.args[1:]
    named = {key: value for key, value in node.kwargs.items() if key not in ("input", "inplace")}
    if any(isinstance(value, fx.Node) for value in (*rest, *named.values())):
        raise build.unsupported(node, "with a computed argument", "give constant arguments")
    target: Any = node.target

    def function(x: Tensor) -> Tensor:
        call = getattr(torch.Tensor, target) if node.op == "call_method" else target
        result: Tensor = call(x, *rest, **named)
        return result

    build.append(node, "activation", function=function)


def part(build: Builder, node: fx.Node) -> None:
    """An operation that `compress.graph.elementwise` has not made a part of a function of one value."""
    raise build.unsupported(
        node, "of two encrypted values, or with constants that vary by position",
        "write it as a function of one value and constants, one per channel at most",
    )  # fmt: skip


def square(build: Builder, node: fx.Node) -> None:
    _power(build, node, 2)


def power(build: Builder, node: fx.Node) -> None:
    _power(build, node, argument(node, 1, "exponent", None))


def _power(build: Builder, node: fx.Node, exponent: Any) -> None:
    if not isinstance(exponent, (int, float)) or exponent != int(exponent) or exponent < 1:
        raise build.unsupported(
            node, f"with exponent {exponent}", "use a whole exponent of at least 1, or an activation"
        )
    exponent = int(exponent)
    inputs = (build.value_of[source_of(node)],)
    if exponent == 1:
        build.alias(node)
    elif exponent <= LARGEST_DEGREE:
        coefficients = torch.zeros(exponent + 1, 1, dtype=torch.float64)
        coefficients[-1] = 1.0
        build.append(node, "polynomial", inputs=inputs, coefficients=coefficients.numpy())
    else:
        build.append(node, "activation", inputs=inputs, function=lambda x: x**exponent)


def add(build: Builder, node: fx.Node) -> None:
    _sum(build, node, 1.0)


def subtract(build: Builder, node: fx.Node) -> None:
    _sum(build, node, -1.0)


def _sum(build: Builder, node: fx.Node, sign: float) -> None:
    factor = argument(node, 2, "alpha", 1)
    if not isinstance(factor, (int, float)):
        raise build.unsupported(node, "with a computed alpha", "multiply by a constant first")
    left, right = _operands(node)
    if build.is_value(left) and build.is_value(right):
        _add(build, node, left, right, sign * factor)
    elif build.is_value(left):
        _affine(build, node, left, torch.tensor(1.0), sign * factor * build.constant(right))
    else:
        _affine(build, node, right, torch.tensor(sign * factor), build.constant(left))


def _add(build: Builder, node: fx.Node, left: fx.Node, right: fx.Node, factor: float) -> None:
    first, second = _broadcast(build, node, left, right)
    if abs(factor) != 1:
        scale, shift = np.array(abs(factor)), np.array(0.0)
        second = build.append(node, "affine", inputs=(second,), suffix=".scaled", scale=scale, shift=shift)
    build.append(node, "add", inputs=(first, second), signs=(1.0, 1.0 if factor > 0 else -1.0))


def _broadcast(build: Builder, node: fx.Node, left: fx.Node, right: fx.Node) -> tuple[str, str]:
    """The names of two values, both in the shape of the node's value."""
    return (
        broadcast(build, node, left, build.shape(node), suffix=".left"),
        broadcast(build, node, right, build.shape(node), suffix=".right"),
    )


def multiply(build: Builder, node: fx.Node) -> None:
    left, right = _operands(node)
    if not (build.is_value(left) and build.is_value(right)):
        value, factor = (left, right) if build.is_value(left) else (right, left)
        _affine(build, node, value, build.constant(factor), torch.tensor(0.0))
    elif build.value_of[left] == build.value_of[right]:
        _power(build, node, 2)
    else:
        build.append(node, "multiply", inputs=_broadcast(build, node, left, right))


def divide(build: Builder, node: fx.Node) -> None:
    left, right = _operands(node)
    if build.is_value(right):
        raise build.unsupported(node, "of two encrypted values" if build.is_value(left) else "by an encrypted value")
    _affine(build, node, left, 1.0 / build.constant(right), torch.tensor(0.0))


def negate(build: Builder, node: fx.Node) -> None:
    _affine(build, node, node.args[0], torch.tensor(-1.0), torch.tensor(0.0))


def _operands(node: fx.Node) -> tuple[Any, Any]:
    return node.args[0], argument(node, 1, "other", None)


def _affine(build: Builder, node: fx.Node, source: Any, scale: Tensor, shift: Tensor) -> None:
    wide = broadcast(build, node, source, build.shape(node), suffix=".wide")
    build.append(node, "affine", inputs=(wide,), scale=build.per_input(node, scale), shift=build.per_input(node, shift))


def reshape(build: Builder, node: fx.Node) -> None:
    if source_of(node) in build.elsewhere:
        move(build, node)
        return
    before, after = build.trace.values[source_of(node)].shape, build.trace.values[node].shape
    if not len(after) or after[0] != EXAMPLE_BATCH:
        raise build.unsupported(
            node,
            f"changes the batch axis ({tuple(before)} to {tuple(after)})",
            "keep axis 0, for instance flatten(1)",
        )
    if build.shape(source_of(node)) == build.shape(node):
        build.alias(node)
    else:
        build.append(node, "reshape")


def permute(build: Builder, node: fx.Node) -> None:
    rank = build.trace.values[source_of(node)].ndim
    if node.target in TRANSPOSE:
        first, second = (argument(node, 1, "dim0", 0) % rank, argument(node, 2, "dim1", 1) % rank)
        order = list(range(rank))
        order[first], order[second] = order[second], order[first]
    else:
        given: Any = node.args[1:] if len(node.args) > 2 else (argument(node, 1, "dims", ()),)
        order = [axis % rank for axis in (given[0] if isinstance(given[0], (tuple, list)) else given)]
    if source_of(node) in build.elsewhere:
        move(build, node)
    elif order[0] != 0:
        build.elsewhere.add(node)
    else:
        build.append(node, "permute", axes=tuple(axis - 1 for axis in order[1:]))


def alias(build: Builder, node: fx.Node) -> None:
    if source_of(node) in build.elsewhere:
        build.elsewhere.add(node)
    else:
        build.alias(node)


def dropout_function(build: Builder, node: fx.Node) -> None:
    if argument(node, 2, "training", True):
        raise build.unsupported(node)
    build.alias(node)


def softmax(build: Builder, node: fx.Node) -> None:
    last = all(user.op == "output" for user in node.users)
    if not last or build.trace.values[node].ndim != 2:
        raise build.unsupported(node)
    where, what = build.trace.where(node), build.trace.operation(node)
    build.dropped.append(f"{where} ({what}) at the end: the classes keep their order")
    build.alias(node)
    node.replace_all_uses_with(source_of(node))
    build.trace.graph_module.graph.erase_node(node)
    build.trace.graph_module.recompile()
