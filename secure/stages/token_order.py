"""Which token every element of a network's values belongs to, and the order that this gives the rows of a stage. Pure.

A layer that maps every token alike, a Dense node over several rows, tells the tokens of its value apart. Moved elements
keep their tokens. A product of values of different tokens, as of queries and keys, has elements of two tokens: its own
one, i, and another one, j.

Rows are ordered so that tokens are fastest, features slower, and pairs slowest, by the difference of their tokens:

    row = ((j - i) mod tokens * features + feature) * tokens + i

with tokens and features padded to powers of two. In slots, a map of every token alike is then one rotation for every
difference of features; values by difference 0, 1, 2, ... are the value rotated by 0, 1, 2, ... tokens; and a sum over
the other token is a sum over periods (derived).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from compress.network import (
    Add,
    Affine,
    AxisMap,
    Dense,
    Gather,
    Multiply,
    Network,
    Node,
    Permute,
    Polynomial,
    Reshape,
    Shape,
)

Indices = NDArray[np.int64]
#: The token of an element that belongs to none, as one that is always zero.
NO_TOKEN = -1


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of a value's elements, each (size,). own: the token of each. other: for pairs, the second one."""

    own: Indices
    other: Indices | None = None

    def moved(self, indices: Indices) -> Tokens:
        """Those of elements that are copies of these; an index of -1 belongs to no token."""
        return Tokens(*(None if of is None else np.append(of, NO_TOKEN)[indices] for of in (self.own, self.other)))  # type: ignore[arg-type]


def token_order(tokens: Tokens, count: int) -> tuple[Indices, int]:
    """(The row of every element, (size,); the number of rows, a power of two). count: of all tokens.

    Elements of one token, or of one pair, are numbered in the order in which they come.
    """
    wide = padded(count)
    pair = np.zeros_like(tokens.own) if tokens.other is None else (tokens.other - tokens.own) % wide
    place = pair * wide + tokens.own
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    lengths = np.diff(starts, append=len(place))
    feature = np.empty_like(place)
    feature[order] = np.arange(len(place)) - np.repeat(starts, lengths)
    features = padded(int(lengths.max()))
    rows = (pair * features + feature) * wide + tokens.own
    return rows, wide * features * (1 if tokens.other is None else wide)


def node_tokens(network: Network) -> tuple[Mapping[str, Tokens], int]:
    """(The tokens of every node whose elements have any, how many there are); none of a network without pairs."""
    found: dict[str, Tokens] = {}
    for node in network.nodes:
        own = _tokens(node, network, found)
        if own is not None:
            found[node.name] = own
    pairs = [own for own in found.values() if own.other is not None]
    if not pairs:
        return {}, 0
    count = 1 + max(int(max(own.own.max(), own.other.max())) for own in pairs if own.other is not None)
    for node in network.nodes:  # a class token comes first, whatever the tokens were before it came
        paired = node.name in found and found[node.name].other is not None
        if len(node.shape) == 2 and node.shape[0] == count and not paired:
            found[node.name] = _by_axis(node.shape, 1)
    known = {name: own for name, own in found.items() if _fits(own, count)}
    return known, count


def _fits(tokens: Tokens, count: int) -> bool:
    """Whether every element belongs to one of so many tokens."""
    sides = [tokens.own] if tokens.other is None else [tokens.own, tokens.other]
    return all(int(side.min()) > NO_TOKEN and int(side.max()) < count for side in sides)


def _tokens(node: Node, network: Network, known: Mapping[str, Tokens]) -> Tokens | None:
    """The tokens of a node's elements, from those of what it reads."""
    if isinstance(node, Dense):
        return _by_axis(node.shape, len(node.shape) - 1) if prod(node.shape[:-1]) > 1 else None
    inputs = [known.get(name) for name in node.inputs]
    first = inputs[0] if inputs else None
    match node:
        case Multiply():
            return _paired(first, inputs[1])
        case Add():
            return first or inputs[1]
        case _ if first is None:
            return None
        case Affine() | Polynomial() | Reshape():
            return first
        case Gather():
            return first.moved(node.indices)
        case Permute():
            before = network.node(node.inputs[0]).shape
            return first.moved(np.arange(node.size).reshape(before).transpose(node.axes).ravel())
        case AxisMap():
            return _mapped(node, network.node(node.inputs[0]).shape, first)
    return None


def _by_axis(shape: Shape, axes: int) -> Tokens:
    """The tokens of a value whose first axes count them, as in (tokens, features)."""
    return Tokens(np.repeat(np.arange(prod(shape[:axes])), prod(shape[axes:])))


def _paired(left: Tokens | None, right: Tokens | None) -> Tokens | None:
    """Those of a product: pairs where one factor has pairs, or where both belong to different tokens."""
    if left is None or right is None:
        return left or right
    if left.other is not None or right.other is not None:
        return left if left.other is not None else right
    return left if np.array_equal(left.own, right.own) else Tokens(left.own, right.own)


def _mapped(node: AxisMap, before: Shape, tokens: Tokens) -> Tokens | None:
    """Those of a map along an axis along which all elements belong to one token; the other token may be summed up."""
    kept: list[Indices | None] = []
    for of in (tokens.own, tokens.other):
        along = None if of is None else np.moveaxis(of.reshape(before), node.axis, -1)
        same = along is not None and bool((along == along[..., :1]).all())
        if not same or along is None:
            kept.append(None)
            continue
        wide = np.repeat(along[..., :1], node.shape[node.axis], axis=-1)
        kept.append(np.moveaxis(wide, -1, node.axis).ravel())
    return None if kept[0] is None else Tokens(kept[0], kept[1])


def padded(number: int) -> int:
    """The power of two that so many tokens, or features, take the room of."""
    return 1 << max(0, number - 1).bit_length()
