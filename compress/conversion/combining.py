"""Arithmetic on one value that amounts to a polynomial of it becomes one Polynomial node. Pure numpy.

A model may spell an activation as arithmetic, for example `0.5 + 0.197 * x - 0.004 * x * x * x`. As separate products
it costs a level per product; as one polynomial of degree 3 it costs two squarings, and the compiler chooses a well
conditioned form for it. The polynomial is exactly the one that was written, up to rounding in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.coefficients import LARGEST_DEGREE, added, composed, multiplied
from compress.network import Add, Affine, Multiply, Node, Polynomial

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Expression:
    """A value as a polynomial of another one. combines: whether sums or products of it are in there.

    coefficients: (degree + 1, channels or 1), ascending.
    """

    base: str
    coefficients: Array
    combines: bool


def combine_polynomials(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes with sums and products of polynomials of one value written as one Polynomial (or Affine) of it.

    Only polynomials of degree 4 at most are combined; what is beyond stays a sum or product of them. Nodes that nothing
    reads any more are left out, and the others keep their names and order.
    """
    by_name = {node.name: node for node in nodes}
    found: dict[str, _Expression] = {}
    for node in nodes:
        found[node.name] = _expression(node, by_name, found)
    kept: dict[str, Node] = {}
    wanted = [nodes[-1].name]
    while wanted:
        name = wanted.pop()
        if name not in kept:
            kept[name] = _written(by_name[name], by_name, found[name])
            wanted.extend(kept[name].inputs)
    return tuple(kept[node.name] for node in nodes if node.name in kept)


def _expression(node: Node, by_name: Mapping[str, Node], found: Mapping[str, _Expression]) -> _Expression:
    """The node's value as a polynomial of the earliest value possible; of itself where that is none."""
    own = _Expression(node.name, np.array([[0.0], [1.0]]), False)
    inputs = [found[name] for name in node.inputs]
    result = None
    if isinstance(node, Polynomial):
        result = _composed(node.coefficients, node.inputs[0], inputs[0])
    elif isinstance(node, Affine):
        line = _channels(node)
        result = None if line is None else _composed(line, node.inputs[0], inputs[0])
    elif isinstance(node, (Add, Multiply)) and inputs[0].base == inputs[1].base:
        combine = added if isinstance(node, Add) else multiplied
        left, right = (one.coefficients for one in inputs)
        result = _Expression(inputs[0].base, _trimmed(combine(left, right)), True)
    if result is None or len(result.coefficients) - 1 > LARGEST_DEGREE:
        return own
    # coefficients per channel count along axis 0 of the base, which reshapes before it may have moved
    return result if by_name[result.base].shape == node.shape else own


def _composed(outer: Array, source: str, inner: _Expression) -> _Expression:
    """A polynomial of the value `source`; of its own base where the degree allows that."""
    whole = _trimmed(composed(outer, inner.coefficients))
    if len(whole) - 1 > LARGEST_DEGREE:
        return _Expression(source, outer, False)
    return _Expression(inner.base, whole, inner.combines)


def _trimmed(coefficients: Array) -> Array:
    """Without leading rows of zeros; at least a line."""
    rows = len(coefficients)
    while rows > 2 and not coefficients[rows - 1].any():
        rows -= 1
    return coefficients[:rows]


def _channels(node: Affine) -> Array | None:
    """(2, channels or 1): shift and scale along axis 0; None where they vary along another axis."""
    rows = []
    for part in (node.shift, node.scale):
        full = np.broadcast_to(part, node.shape).reshape(node.shape[0], -1)
        if not (full == full[:, :1]).all():
            return None
        rows.append(full[:, 0].astype(np.float64))
    line = np.stack(rows)
    return line[:, :1] if (line == line[:, :1]).all() else line


def _written(node: Node, by_name: Mapping[str, Node], expression: _Expression) -> Node:
    """The node itself, or the one that computes its value from an earlier one."""
    if not expression.combines:
        return node
    coefficients = expression.coefficients
    if len(coefficients) > 2:
        return Polynomial(name=node.name, inputs=(expression.base,), shape=node.shape, coefficients=coefficients)
    column = (-1,) + (1,) * (len(node.shape) - 1)
    shift, scale = (row.reshape(column) for row in coefficients)
    return Affine(name=node.name, inputs=(expression.base,), shape=node.shape, scale=scale, shift=shift)
