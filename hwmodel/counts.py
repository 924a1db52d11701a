"""The work that prices are put on: of a Network layer by layer, of a Plan by layer, operation and level.

A plan is counted by secure.kernels, operation by operation; nothing is derived a second time here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any

from compress.errors import CostModelError
from compress.network import Add, Affine, AvgPool, Conv, Dense, Network, Node, Polynomial, Weights
from secure.kernels import RESIDUE_BYTES, KernelCounts, plan_operation_kernels
from secure.plan import Kind, Plan

FLOAT_BITS = 32
#: Distance to the next non-zero weight in a sparse layer, in bits (EIE's relative index; cost-model notes, recalled).
SPARSE_INDEX_BITS = 4


@dataclass(frozen=True, kw_only=True)
class LayerWork:
    """One layer in clear, one image. Zero-padded positions count as multiply-accumulates, as is usual.

    macs: multiply-accumulates with every weight; nonzero_macs: with weights that are not zero; elementwise: the rest.
    weights, nonzeros, biases: how many there are; weight_bits: of one weight's code (32 for float).
    inputs, outputs: elements read from the previous layers and written for the next.
    """

    layer: str
    macs: int = 0
    nonzero_macs: int = 0
    elementwise: int = 0
    weights: int = 0
    nonzeros: int = 0
    weight_bits: int = FLOAT_BITS
    biases: int = 0
    inputs: int = 0
    outputs: int = 0

    @property
    def idle(self) -> bool:
        """True for a layer that computes nothing (the input, a reshape)."""
        return self.macs == 0 and self.elementwise == 0

    @property
    def packed_bits(self) -> int:
        """Bits of the weights when packed: dense, or non-zeros with their index, whichever is less (derived)."""
        return min(self.weights * self.weight_bits, self.nonzeros * (self.weight_bits + SPARSE_INDEX_BITS))


@dataclass(frozen=True)
class PlainWorkload:
    """A network's work in clear by layer, in execution order; plain JSON in both directions."""

    layers: tuple[LayerWork, ...]

    def total(self, name: str) -> int:
        """Sum over layers of one of LayerWork's counts."""
        return sum(getattr(layer, name) for layer in self.layers)

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(layer) for layer in self.layers]

    @classmethod
    def from_json(cls, document: object) -> PlainWorkload:
        """Raises: CostModelError when the document is no list of layers with exactly LayerWork's fields."""
        names = {item.name for item in fields(LayerWork)}
        if not isinstance(document, Sequence) or isinstance(document, str):
            raise CostModelError("plain_workload: not a list of layers; compile the network again")
        for entry in document:
            if not isinstance(entry, Mapping) or set(entry) != names:
                raise CostModelError(
                    f"plain_workload: a layer needs exactly {', '.join(sorted(names))}; compile the network again"
                )
            for name in names - {"layer"}:
                if not isinstance(entry[name], int) or entry[name] < 0:
                    raise CostModelError(
                        f"plain_workload: {name}: got {entry[name]!r}; allowed: whole numbers, at least 0"
                    )
        return cls(tuple(LayerWork(**entry) for entry in document))


def plain_workload(network: Network) -> PlainWorkload:
    """What one image costs in clear, layer by layer, every node of the network."""
    sizes = {node.name: node.size for node in network.nodes}
    return PlainWorkload(tuple(_layer_work(node, sum(sizes[name] for name in node.inputs)) for node in network.nodes))


def _layer_work(node: Node, inputs: int) -> LayerWork:
    match node:
        case Dense():
            return _linear(
                node.name, node.weights, node.bias.size, node.size // node.weights.codes.shape[0], inputs, node.size
            )
        case Conv():
            return _linear(node.name, node.weights, node.bias.size, prod(node.shape[1:]), inputs, node.size)
        case AvgPool():
            elementwise = node.size * prod(node.kernel)
        case Polynomial():
            elementwise = node.size * node.degree
        case Affine() | Add():
            elementwise = node.size
        case _:
            return LayerWork(layer=node.name)
    return LayerWork(layer=node.name, elementwise=elementwise, inputs=inputs, outputs=node.size)


def _linear(name: str, weights: Weights, biases: int, positions: int, inputs: int, outputs: int) -> LayerWork:
    """Every weight is used once at every output position."""
    return LayerWork(
        layer=name,
        macs=weights.codes.size * positions,
        nonzero_macs=weights.nonzeros * positions,
        weights=weights.codes.size,
        nonzeros=weights.nonzeros,
        weight_bits=FLOAT_BITS if weights.bits is None else weights.bits,
        biases=biases,
        inputs=inputs,
        outputs=outputs,
    )


@dataclass(frozen=True, kw_only=True)
class OperationWork:
    """Operations of one layer, kind and working level: how many, and their kernels together."""

    layer: str
    kind: Kind
    level: int
    count: int
    kernels: KernelCounts
    plaintext_bytes: int


@dataclass(frozen=True, kw_only=True)
class EncryptedWorkload:
    """A plan's work: rows in order of first appearance, and what the machine has to know of its parameters.

    residue_bits: of the largest prime. key_bytes, constant_bytes: of what is stored for the whole plan.
    """

    poly_modulus_degree: int
    residue_bits: int
    rows: tuple[OperationWork, ...]
    key_bytes: int
    constant_bytes: int

    @property
    def operations(self) -> Counter[tuple[Kind, int]]:
        """How many operations of a kind work at a level."""
        counts: Counter[tuple[Kind, int]] = Counter()
        for row in self.rows:
            counts[row.kind, row.level] += row.count
        return counts

    @property
    def kernels(self) -> KernelCounts:
        """Kernels of the whole plan: the sum of its rows."""
        return sum((row.kernels for row in self.rows), KernelCounts())

    def layers(self) -> dict[str, list[OperationWork]]:
        """Rows by layer, in order of first appearance."""
        layers: dict[str, list[OperationWork]] = {}
        for row in self.rows:
            layers.setdefault(row.layer, []).append(row)
        return layers


def encrypted_workload(plan: Plan) -> EncryptedWorkload:
    """What one run of a plan costs, counted from its operations."""
    degree, levels = plan.params.poly_modulus_degree, plan.params.levels
    rows: dict[tuple[str, Kind, int], OperationWork] = {}
    for op in plan.ops:
        level = plan.working_level(op)
        key = (op.layer, op.kind, level)
        plaintext_bytes = level * degree * RESIDUE_BYTES if op.kind in (Kind.MULTIPLY_PLAIN, Kind.ADD_PLAIN) else 0
        before = rows.get(key)
        rows[key] = OperationWork(
            layer=op.layer,
            kind=op.kind,
            level=level,
            count=1 + (before.count if before else 0),
            kernels=plan_operation_kernels(plan, op) + (before.kernels if before else KernelCounts()),
            plaintext_bytes=plaintext_bytes + (before.plaintext_bytes if before else 0),
        )
    keys = len(plan.key_manifest.galois_elements) + plan.key_manifest.relinearize
    return EncryptedWorkload(
        poly_modulus_degree=degree,
        residue_bits=max(plan.params.coeff_modulus_bits),
        rows=tuple(rows.values()),
        key_bytes=keys * 2 * levels * (levels + 1) * degree * RESIDUE_BYTES,
        constant_bytes=sum(constant.level * degree * RESIDUE_BYTES for constant in plan.constants),
    )
