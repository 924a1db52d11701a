"""The work of a Network in clear, layer by layer. Plans are counted in encrypted_counts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import CostModelError
from compress.network import (
    Add,
    Affine,
    AvgPool,
    AxisMap,
    Conv,
    ConvTranspose,
    Dense,
    Multiply,
    Network,
    Node,
    Polynomial,
    Weights,
)

FLOAT_BITS = 32
#: Bits of the distance to the next non-zero weight in a sparse layer (EIE's relative index, recalled).
SPARSE_INDEX_BITS = 4
#: Block sizes at which a layer's zero blocks are counted: b x b weights, outputs by inputs.
BLOCK_SIZES = (4, 8, 16, 32, 64)


@dataclass(frozen=True, kw_only=True)
class LayerWork:
    """One layer in clear, for one image. Zero-padded positions count as multiply-accumulates, as is usual.

    macs: multiply-accumulates with all weights. nonzero_macs: those with weights that are not zero.
    elementwise: all other operations. weights, nonzeros, biases: numbers of them.
    weight_bits: bits of one weight's code (32 for float).
    kept_weights: weights in blocks that hold a non-zero, for every size of BLOCK_SIZES (empty: all of them).
    inputs, outputs: elements read from the previous layers and written for the next. zero_inputs: inputs that are zero.
    channels, groups: output channels per group, and groups. fan_in: weights per output.
    kernel_rows, output_rows: heights of the kernel and of the output (0 where the layer is no convolution).
    power_of_two_steps: 1 when every step is a power of two, so that a requantization is a shift.
    """

    layer: str
    macs: int = 0
    nonzero_macs: int = 0
    elementwise: int = 0
    weights: int = 0
    nonzeros: int = 0
    weight_bits: int = FLOAT_BITS
    kept_weights: tuple[int, ...] = ()
    biases: int = 0
    inputs: int = 0
    zero_inputs: int = 0
    outputs: int = 0
    channels: int = 0
    groups: int = 1
    fan_in: int = 0
    kernel_rows: int = 0
    output_rows: int = 0
    power_of_two_steps: int = 0

    @property
    def idle(self) -> bool:
        """True for a layer that computes nothing (the input, a reshape)."""
        return self.macs == 0 and self.elementwise == 0

    @property
    def packed_bits(self) -> int:
        """Bits of the weights when packed: all of them, or non-zeros with an index, whichever is less (derived)."""
        return min(self.weights * self.weight_bits, self.nonzeros * (self.weight_bits + SPARSE_INDEX_BITS))


@dataclass(frozen=True)
class PlainWorkload:
    """A network's work in clear by layer, in execution order; it can be written as JSON and read again."""

    layers: tuple[LayerWork, ...]

    def total(self, name: str) -> int:
        """Sum over layers of one of LayerWork's counts."""
        return sum(getattr(layer, name) for layer in self.layers)

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(layer) for layer in self.layers]

    @classmethod
    def from_json(cls, document: object) -> PlainWorkload:
        """Raises: CostModelError when the document is not a list of layers with exactly the fields of LayerWork."""
        names = {item.name for item in fields(LayerWork)}
        if not isinstance(document, Sequence) or isinstance(document, str):
            raise CostModelError("plain_workload: not a list of layers; compile the network again")
        for entry in document:
            if not isinstance(entry, Mapping) or set(entry) != names:
                raise CostModelError(
                    f"plain_workload: a layer needs exactly {', '.join(sorted(names))}; compile the network again"
                )
            for name in names - {"layer"}:
                values = entry[name] if name == "kept_weights" else [entry[name]]
                if not isinstance(values, Sequence) or not all(isinstance(n, int) and n >= 0 for n in values):
                    raise CostModelError(
                        f"plain_workload: {name}: got {entry[name]!r}; allowed: whole numbers, at least 0"
                    )
        return cls(tuple(LayerWork(**{**entry, "kept_weights": tuple(entry["kept_weights"])}) for entry in document))


def plain_workload(network: Network) -> PlainWorkload:
    """The work of one image in clear, with one entry per node of the network."""
    sizes = {node.name: node.size for node in network.nodes}
    return PlainWorkload(tuple(_layer_work(node, sum(sizes[name] for name in node.inputs)) for node in network.nodes))


def _layer_work(node: Node, inputs: int) -> LayerWork:
    match node:
        case Dense():
            return _linear(node, node.weights, inputs, positions=node.size // node.weights.codes.shape[0])
        case Conv():
            work = _linear(node, node.weights, inputs, positions=prod(node.shape[1:]), groups=node.groups)
            return replace(work, kernel_rows=node.weights.codes.shape[2], output_rows=node.shape[1])
        case ConvTranspose():  # every weight meets every input position once
            work = _linear(node, node.weights, inputs, positions=inputs // node.weights.codes.shape[0])
            per_group = node.weights.codes.shape[1]
            fan_in = node.weights.codes.size // (per_group * node.groups)
            shape = {"channels": per_group, "groups": node.groups, "fan_in": fan_in}
            return replace(work, **shape, kernel_rows=node.weights.codes.shape[2], output_rows=node.shape[1])
        case AxisMap():
            elementwise = node.size // node.matrix.shape[0] * 2 * int(np.count_nonzero(node.matrix))
        case AvgPool():
            elementwise = node.size * prod(node.kernel)
        case Polynomial():
            elementwise = node.size * node.degree
        case Affine() | Add() | Multiply():
            elementwise = node.size
        case _:
            return LayerWork(layer=node.name)
    return LayerWork(layer=node.name, elementwise=elementwise, inputs=inputs, outputs=node.size)


def _linear(
    node: Dense | Conv | ConvTranspose, weights: Weights, inputs: int, *, positions: int, groups: int = 1
) -> LayerWork:
    """Every weight is used once at every output position."""
    codes = weights.codes
    shape = LayerWork(
        layer=node.name,
        macs=codes.size * positions,
        weights=codes.size,
        biases=node.bias.size,
        inputs=inputs,
        outputs=node.size,
        channels=codes.shape[0] // groups,
        groups=groups,
        fan_in=prod(codes.shape[1:]),
    )
    return with_weights(shape, weights)


def with_weights(work: LayerWork, weights: Weights) -> LayerWork:
    """A layer's work with its weights counted: zeros, bits, blocks, steps.

    Raises: CostModelError naming the layer that has another number of weights.
    """
    codes = weights.codes
    if codes.size != work.weights:
        raise CostModelError(f"layer '{work.layer}' has {work.weights} weights by its shape, {codes.size} were given")
    return replace(
        work,
        nonzero_macs=weights.nonzeros * (work.macs // codes.size),
        nonzeros=weights.nonzeros,
        weight_bits=FLOAT_BITS if weights.bits is None else weights.bits,
        kept_weights=tuple(weights_in_kept_blocks(codes != 0, size) for size in BLOCK_SIZES),
        power_of_two_steps=int(weights.bits is not None and bool((np.frexp(weights.step)[0] == 0.5).all())),
    )


def weights_in_kept_blocks(nonzero: NDArray[np.bool_], size: int) -> int:
    """Weights in blocks of size x size (outputs by inputs, the kernel last) that hold a non-zero weight."""
    matrix = nonzero.reshape(nonzero.shape[0], -1)
    rows, columns = matrix.shape
    kept = 0
    for top in range(0, rows, size):
        band = matrix[top : top + size].any(axis=0)
        starts = np.arange(0, columns, size)
        widths = np.minimum(size, columns - starts)
        kept += min(size, rows - top) * int(widths[np.logical_or.reduceat(band, starts)].sum())
    return kept
