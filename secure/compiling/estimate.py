"""What compiling a network will take, estimated from its shapes alone, before anything is computed. Pure.

A stage is what the compiler makes of an activation: the linear maps before it as one sparse matrix, then a square
(`secure.stages.stages`). Memory grows with the entries of these matrices and with the values on calibration inputs.
Time grows with the entries and with the square of the depth. The factors below were fitted to measured compilations
(`benchmarks/compiling.py`). The estimate is right within a factor of about three.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from compress.errors import CompilationSizeError
from compress.network import (
    Add,
    AvgPool,
    AxisMap,
    Conv,
    ConvTranspose,
    Dense,
    Input,
    Multiply,
    Network,
    Node,
    Polynomial,
)
from secure.limits import Limits

#: Bytes of the program itself, for every entry of all matrices, and for every entry of the largest one while it is
#: laid out.
BASE_BYTES, ENTRY_BYTES, LARGEST_ENTRY_BYTES = 150e6, 60.0, 150.0
#: Bytes for every value of a stage on one calibration input: the value and its square.
VALUE_BYTES = 16.0
#: Seconds of the rest, for every million entries, and for every pair of stages, on one core of 2026.
BASE_SECONDS, ENTRY_SECONDS, PAIR_SECONDS = 3.0, 25.0, 0.4


@dataclass(frozen=True)
class StageSize:
    """One stage: the layer that it is named after, its number of values, and the entries of its matrices, at most."""

    layer: str
    values: int
    entries: float


@dataclass(frozen=True)
class Estimate:
    """What compiling will take. largest: the stage with the most entries."""

    peak_bytes: float
    seconds: float
    largest: StageSize


@dataclass(frozen=True)
class _Read:
    """A value before it is squared: the entries of each of its rows, the atoms that it reads, by name their sizes."""

    entries: float
    atoms: dict[str, int]
    layer: str


def stage_sizes(network: Network) -> tuple[StageSize, ...]:
    """The stages of a network. Entries are an upper limit: a product of sparse matrices may have fewer."""
    reads: dict[str, _Read] = {}
    stages: list[StageSize] = []
    for node in network.nodes:
        if isinstance(node, Input):
            reads[node.name] = _Read(1.0, {node.name: node.size}, node.name)
            continue
        inputs = [reads[name] for name in node.inputs]
        atoms = {name: size for one in inputs for name, size in one.atoms.items()}
        together = sum if isinstance(node, (Add, Multiply)) else max
        layer = node.name if isinstance(node, (Dense, Conv, ConvTranspose)) else inputs[0].layer
        read = _Read(_row_entries(node, network) * together(one.entries for one in inputs), atoms, layer)
        read = _Read(min(read.entries, float(sum(atoms.values()))), atoms, layer)
        squares = _squares(node)
        for _ in range(squares):
            stages.append(StageSize(layer, node.size, read.entries * node.size))
        reads[node.name] = _Read(float(squares), {node.name: node.size}, layer) if squares else read
    last = network.nodes[-1]
    return (*stages, StageSize(reads[last.name].layer, last.size, reads[last.name].entries * last.size))


def estimate(network: Network, images: int) -> Estimate:
    """What compiling a network with this many calibration inputs will take."""
    stages = stage_sizes(network)
    largest = max(stages, key=lambda stage: stage.entries)
    entries = sum(stage.entries for stage in stages)
    values = images * (prod(network.input_shape) + sum(stage.values for stage in stages))
    peak = BASE_BYTES + ENTRY_BYTES * entries + LARGEST_ENTRY_BYTES * largest.entries + VALUE_BYTES * values
    seconds = BASE_SECONDS + ENTRY_SECONDS * entries / 1e6 + PAIR_SECONDS * len(stages) ** 2
    return Estimate(peak, seconds, largest)


def check_size(network: Network, images: int, limits: Limits) -> Estimate:
    """The estimate for a network that may be compiled.

    Raises: CompilationSizeError when it exceeds a limit, naming the layer with the most entries.
    """
    found = estimate(network, images)
    if found.peak_bytes <= limits.compile_bytes and found.seconds <= limits.compile_seconds:
        return found
    raise CompilationSizeError(
        found.largest.layer,
        f"compiling the network would take about {found.peak_bytes / 1e9:.1f} GB and {found.seconds:,.0f} s where "
        f"{limits.compile_bytes / 1e9:.1f} GB and {limits.compile_seconds:,.0f} s are allowed; most of it is this "
        f"layer with {found.largest.entries:,.0f} multiply-adds into {found.largest.values:,} values; use a smaller "
        "input, a stride or pooling before it, or fewer channels, or raise --compile-memory and --compile-seconds "
        "(Limits.compile_bytes, compile_seconds)",
        estimated_bytes=found.peak_bytes,
        estimated_seconds=found.seconds,
    )


def _row_entries(node: Node, network: Network) -> float:
    """The mean number of entries in a row of a node's own matrix; 1 for nodes that copy or scale."""
    match node:
        case Dense():
            return node.weights.nonzeros / node.weights.codes.shape[0]
        case Conv():
            return node.weights.nonzeros / node.shape[0]
        case ConvTranspose():
            source = network.node(node.inputs[0]).shape
            return node.weights.nonzeros * prod(source[1:]) / node.size
        case AvgPool():
            return float(prod(node.kernel))
        case AxisMap():
            return float(np.count_nonzero(node.matrix)) / node.matrix.shape[0]
    return 1.0


def _squares(node: Node) -> int:
    """How many stages a node adds."""
    if isinstance(node, Multiply):
        return 2
    if isinstance(node, Polynomial):
        return {0: 0, 1: 0, 2: 1}.get(node.degree, 2)
    return 0
