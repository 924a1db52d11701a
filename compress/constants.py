"""Values that depend on no input: they become constants of the nodes that read them, and what made them goes. Pure.

Pruning may take every weight of a layer. If that layer ends a branch of a sum, the branch is a constant, and its
products and squares would be computed for nothing. Added to another value, a constant is a shift; multiplied with one,
a factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from compress.network import Add, Affine, Conv, ConvTranspose, Dense, Input, Multiply, Node, evaluate_node

Array = NDArray[np.float64]


def without_constants(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The same function in fewer nodes. A network whose answer is a constant stays as it is."""
    constants = _constants(nodes)
    if not constants or nodes[-1].name in constants:
        return nodes
    return _read(tuple(_absorbed(node, constants) for node in nodes))


def _constants(nodes: Iterable[Node]) -> dict[str, Array]:
    """The values, by node name, that are the same for every input."""
    shapes: dict[str, tuple[int, ...]] = {}
    found: dict[str, Array] = {}
    for node in nodes:
        shapes[node.name] = node.shape
        if isinstance(node, Input):
            continue
        if all(name in found for name in node.inputs) or _reads_nothing(node):
            inputs = (found.get(name, np.zeros(shapes[name]))[None] for name in node.inputs)
            found[node.name] = np.array(np.broadcast_to(evaluate_node(node, *inputs)[0], node.shape))
    return found


def _reads_nothing(node: Node) -> bool:
    if isinstance(node, (Dense, Conv, ConvTranspose)):
        return node.weights.nonzeros == 0
    return isinstance(node, Affine) and not np.any(node.scale)


def _absorbed(node: Node, constants: Mapping[str, Array]) -> Node:
    """The node with a constant that it adds or multiplies as a shift or a factor."""
    if not isinstance(node, (Add, Multiply)):
        return node
    varying = tuple(name for name in node.inputs if name not in constants)
    if len(varying) != 1:
        return node
    constant = next(constants[name] for name in node.inputs if name in constants)
    scale, shift = (np.array(1.0), constant) if isinstance(node, Add) else (constant, np.array(0.0))
    return Affine(name=node.name, inputs=varying, shape=node.shape, scale=scale, shift=shift)


def _read(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes that the last one depends on, and the input."""
    read, kept = {nodes[-1].name}, []
    for node in reversed(nodes):
        if node.name in read or isinstance(node, Input):
            read.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
