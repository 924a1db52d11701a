"""Rules for products of two values that are summed over some axes: matmul, bmm and einsum of encrypted values.

Both values are repeated along the axes that only the other one has, multiplied element by element, and summed. So they
cost one level like any product, and as many squarings as there are pairs of elements that meet.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from torch import Tensor, fx

from compress.graph.building import Builder, argument
from compress.graph.moves import gathered
from compress.graph.weighted import matrix_product, written_out

#: The most pairs of elements of two values that are multiplied.
MOST_PAIRS = 1 << 16
_LETTERS = "bcdefgh"


def product(build: Builder, node: fx.Node) -> None:
    """x @ y: with a constant matrix a linear layer, of two values (batch, rows, columns) a contraction."""
    left, right = argument(node, 0, "input", None), argument(node, 1, "mat2", node.kwargs.get("other"))
    if not (build.is_value(left) and build.is_value(right)):
        matrix_product(build, node)
        return
    ranks = [build.trace.values[value].ndim for value in (left, right)]
    if ranks[0] != ranks[1] or ranks[0] < 3:
        raise build.unsupported(node, "along the batch axis mixes inputs", "multiply (batch, rows, columns) values")
    shared = _LETTERS[: ranks[0] - 3]
    contract(build, node, [left, right], [f"a{shared}xy", f"a{shared}yz"], f"a{shared}xz")


def einsum(build: Builder, node: fx.Node) -> None:
    """torch.einsum: with one value a matrix, of two values a contraction."""
    operands: list[Any] = list(node.args[1:])
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = list(operands[0])
    if not isinstance(node.args[0], str) or len(operands) != 2 or not all(map(build.is_value, operands)):
        written_out(build, node)
        return
    left, arrow, result = str(node.args[0]).replace(" ", "").partition("->")
    labels = left.split(",")
    batch = labels[0][:1]
    plain = arrow and "." not in left and all(len(set(own)) == len(own) for own in (*labels, result))
    if not plain or any(own[:1] != batch for own in (*labels, result)):
        advice = "write it as 'bij,bjk->bik': every label once, the batch first everywhere"
        raise build.unsupported(node, f"'{node.args[0]}' of two encrypted values", advice)
    contract(build, node, operands, labels, result)


def contract(build: Builder, node: fx.Node, values: list[fx.Node], labels: list[str], result: str) -> None:
    """The sum over all labels that the result does not have of the product of two values; the batch label is first."""
    sizes = {
        label: size
        for value, own in zip(values, labels, strict=True)
        for label, size in zip(own[1:], build.trace.values[value].shape[1:], strict=True)
    }
    kept = result[1:]
    order = kept + "".join(label for label in sizes if label not in kept)
    shape = tuple(sizes[label] for label in order)
    if prod(shape) > MOST_PAIRS:
        raise build.unsupported(
            node, f"of {prod(shape)} pairs of encrypted elements is too large", f"keep to {MOST_PAIRS} pairs"
        )
    names = []
    for value, own, side in zip(values, labels, ("left", "right"), strict=True):

        def spread(x: Tensor, own: str = own) -> Tensor:
            present = [label for label in order if label in own]
            moved = x.permute(0, *(own.index(label) for label in present))
            wide = moved.reshape(1, *(sizes[label] if label in own else 1 for label in order))
            return wide.expand(1, *shape).contiguous()

        names.append(gathered(build, node, build.value_of[value], build.shape(value), spread, suffix=f".{side}"))
    name = build.append(node, "multiply", inputs=tuple(names), shape=shape, suffix=".product")
    for axis in range(len(kept), len(order)):
        shape = (*shape[:axis], 1, *shape[axis + 1 :])
        ones = np.ones((1, sizes[order[axis]]))
        name = build.append(node, "axismap", inputs=(name,), shape=shape, suffix=f".sum{axis}", axis=axis, matrix=ones)
    build.append(node, "reshape", inputs=(name,))
