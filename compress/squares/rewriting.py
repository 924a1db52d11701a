"""Quadratics as plain squares: c2 x^2 + c1 x + c0 = sign u^2 + offset with u = sqrt|c2| x + sqrt|c2| c1 / (2 c2).

The linear maps before a quadratic take the factor and the shift of u, and those after it the offset. Where a value has
other readers too, as the skip of a residual block, an Affine of its own is put in. What an encrypted network computes
is then a sum of convolutions, one square, and nothing else per activation. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compress.network import Add, Affine, AvgPool, Conv, Dense, Network, Node, Polynomial, Reshape, Weights

Array = NDArray[np.float64]


def with_squares(network: Network) -> Network:
    """The network with plain squares in the place of its quadratics; ranges are not kept.

    Offsets go into the biases after them as if convolutions were padded with the offset and not with zeros, so that
    values near borders change a little. All else is exact. Quadratics with a leading coefficient of zero, polynomials
    of other degrees, and offsets that no linear map reads alone stay.
    """
    work = _Rewriting(network.nodes)
    for node in network.nodes:
        if isinstance(node, Polynomial) and node.degree == 2 and np.all(node.coefficients[2] != 0.0):
            work.complete(node.name)
    for node in network.nodes:
        if isinstance(node, Polynomial) and node.degree == 2:
            work.move_offset(node.name)
    for node in work.nodes():
        if isinstance(node, Affine):
            work.move_shift(node.name)
    return replace(network, nodes=work.nodes(), ranges={})


class _Rewriting:
    """Nodes while they are rewritten: by name in execution order, what is put in right after its source."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self.by_name = {node.name: node for node in nodes}
        self.order = [node.name for node in nodes]

    def nodes(self) -> tuple[Node, ...]:
        return tuple(self.by_name[name] for name in self.order)

    def readers(self, name: str) -> list[Node]:
        return [node for node in self.by_name.values() if name in node.inputs]

    def complete(self, name: str) -> None:
        """Make a quadratic sign u^2 + offset."""
        node = self.by_name[name]
        assert isinstance(node, Polynomial)
        channels = len(node.coefficients[0]) if len(node.shape) == 0 else node.shape[0]
        c0, c1, c2 = np.broadcast_to(node.coefficients, (3, channels))
        factor = np.sqrt(np.abs(c2))
        source = self.scaled(node.inputs[0], factor, factor * c1 / (2 * c2))
        square = np.stack([c0 - c1**2 / (4 * c2), np.zeros(channels), np.sign(c2)])
        if np.all(square == square[:, :1]):
            square = square[:, :1]
        self.by_name[name] = replace(node, inputs=(source,), coefficients=square)

    def scaled(self, name: str, factor: Array, shift: Array) -> str:
        """The name of factor * value + shift, by channel, for the one reader that asks."""
        if self.absorbs(name):
            self.absorb(name, factor, shift)
            return name
        node = self.by_name[name]
        column = (-1,) + (1,) * (len(node.shape) - 1)
        put_in = Affine(
            name=self.free(f"{name}.scaled"),
            inputs=(name,),
            shape=node.shape,
            scale=factor.reshape(column),
            shift=shift.reshape(column),
        )
        self.by_name[put_in.name] = put_in
        self.order.insert(self.order.index(name) + 1, put_in.name)
        return put_in.name

    def absorbs(self, name: str) -> bool:
        """Whether a value can be made factor * value + shift where it is computed, because nothing else reads it."""
        node = self.by_name[name]
        if len(self.readers(name)) != 1:
            return False
        if isinstance(node, Add):
            return any(self.absorbs(source) for source in node.inputs) and node.inputs[0] != node.inputs[1]
        return isinstance(node, (Conv, Affine)) or (isinstance(node, Dense) and len(node.shape) == 1)

    def absorb(self, name: str, factor: Array, shift: Array) -> None:
        node = self.by_name[name]
        if isinstance(node, Add):
            taker = next(source for source in node.inputs if self.absorbs(source))
            sources = [self.scaled(one, factor, shift if one == taker else 0 * shift) for one in node.inputs]
            self.by_name[name] = replace(node, inputs=tuple(sources))
        elif isinstance(node, Affine):
            column = (-1,) + (1,) * (len(node.shape) - 1)
            by, to = factor.reshape(column), shift.reshape(column)
            self.by_name[name] = replace(node, scale=node.scale * by, shift=node.shift * by + to)
        elif isinstance(node, (Conv, Dense)):
            values = node.weights.values() * factor.reshape((-1,) + (1,) * (node.weights.codes.ndim - 1))
            weights = Weights(codes=values, step=np.array(1.0), mask=node.weights.mask)
            self.by_name[name] = replace(node, weights=weights, bias=node.bias * factor + shift)

    def move_offset(self, name: str) -> None:
        """Move the offset of a completed square into what reads it, where all of that can take it."""
        node = self.by_name[name]
        assert isinstance(node, Polynomial)
        if np.any(node.coefficients[1] != 0.0) or not np.any(node.coefficients[0] != 0.0):
            return
        offset = np.broadcast_to(node.coefficients[0].reshape((-1,) + (1,) * (len(node.shape) - 1)), node.shape)
        if self.takes(name, offset):
            self.take(name, offset)
            square = node.coefficients.copy()
            square[0] = 0.0
            if np.all(square == square[:, :1]):
                square = square[:, :1]
            self.by_name[name] = replace(node, coefficients=square)

    def takes(self, name: str, offset: Array) -> bool:
        """Whether every reader of a value can add this (of the value's shape) itself."""
        readers = self.readers(name)
        return bool(readers) and all(self.takes_one(reader, name, offset) for reader in readers)

    def takes_one(self, reader: Node, name: str, offset: Array) -> bool:
        if isinstance(reader, Conv):
            return _constant(offset)
        if isinstance(reader, Dense):
            return bool(np.all(offset == offset.reshape(-1, offset.shape[-1])[0]))  # one bias for all rows
        if isinstance(reader, Affine):
            return True
        passed = _passed(reader, name, offset)
        return passed is not None and self.takes(reader.name, passed)

    def take(self, name: str, offset: Array) -> None:
        for reader in self.readers(name):
            if isinstance(reader, Conv):
                taps = reader.weights.values().sum(axis=tuple(range(2, reader.weights.codes.ndim)))
                channels = offset.reshape(len(offset), -1)[:, 0].reshape(reader.groups, 1, -1)
                added = (taps.reshape(reader.groups, -1, taps.shape[1]) * channels).sum(axis=2).reshape(-1)
                self.by_name[reader.name] = replace(reader, bias=reader.bias + added)
            elif isinstance(reader, Dense):
                row = offset.reshape(-1, offset.shape[-1])[0]
                self.by_name[reader.name] = replace(reader, bias=reader.bias + reader.weights.values() @ row)
            elif isinstance(reader, Affine):
                added = offset if not _constant(offset) else _by_channel(offset)
                self.by_name[reader.name] = replace(reader, shift=reader.shift + reader.scale * added)
            else:
                passed = _passed(reader, name, offset)
                assert passed is not None
                self.take(reader.name, passed)

    def move_shift(self, name: str) -> None:
        """Move the shift of a scaled skip into the bias of the convolution or dense layer that it is added to."""
        node, readers = self.by_name[name], self.readers(name)
        assert isinstance(node, Affine)
        shift = np.broadcast_to(node.shift, node.shape)
        if len(readers) != 1 or not isinstance(readers[0], Add) or not _constant(shift) or not np.any(shift):
            return
        other = next((source for source in readers[0].inputs if source != name), name)
        partner = self.by_name[other]
        if len(self.readers(other)) == 1 and (
            isinstance(partner, Conv) or isinstance(partner, Dense) and shift.ndim == 1
        ):
            self.by_name[other] = replace(partner, bias=partner.bias + shift.reshape(len(shift), -1)[:, 0])
            self.by_name[name] = replace(node, shift=np.zeros(1))

    def free(self, name: str) -> str:
        """`name`, or the first of name2, name3, ... that no node has."""
        count, found = 1, name
        while found in self.by_name:
            count += 1
            found = f"{name}{count}"
        return found


def _constant(offset: Array) -> bool:
    """Whether every channel has one number."""
    rows = offset.reshape(len(offset), -1)
    return bool(np.all(rows == rows[:, :1]))


def _by_channel(offset: Array) -> Array:
    """Those numbers, (channels, 1, ...)."""
    return offset.reshape(len(offset), -1)[:, 0].reshape((-1,) + (1,) * (offset.ndim - 1))


def _passed(reader: Node, name: str, offset: Array) -> Array | None:
    """What an offset of its input adds to a node's value; None where that is no constant, or not known here."""
    if isinstance(reader, AvgPool) and not any(reader.padding) and _constant(offset):
        return np.broadcast_to(_by_channel(offset), reader.shape)
    if isinstance(reader, Reshape):
        return offset.reshape(reader.shape)
    if isinstance(reader, Add) and reader.inputs[0] != reader.inputs[1]:
        return offset
    return None


def plain_squares(network: Network) -> Mapping[str, bool]:
    """By name of every polynomial, whether it is sign x^2 and nothing else."""
    return {
        node.name: node.degree == 2
        and not np.any(node.coefficients[:2])
        and bool(np.all(abs(node.coefficients[2]) == 1))
        for node in network.nodes
        if isinstance(node, Polynomial)
    }
