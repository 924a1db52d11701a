"""What compiling a network will take, estimated from its shapes alone, before anything is computed. Pure.

A stage is what the compiler makes of an activation: the linear maps before it as one sparse matrix, then a square
(`secure.stages.stages`). Memory grows with the entries of these matrices and with the values on calibration inputs.
Time grows with the entries and with the depth. The factors below were fitted to measured compilations
(`benchmarks/compiling.py`); a test holds the estimate within a factor of three of each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from compress.errors import CompilationSizeError
from compress.network import (
    Add,
    Affine,
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
    Shape,
)
from secure.limits import Limits

#: Bytes of the program itself, for every entry of all matrices, and for every entry of the largest one while it is
#: laid out.
BASE_BYTES, ENTRY_BYTES, LARGEST_ENTRY_BYTES = 250e6, 60.0, 150.0
#: Bytes for every value of a stage on one calibration input: the value and its square.
VALUE_BYTES = 16.0
#: Seconds of the rest, for every million entries, and for every stage, on one core of 2026.
BASE_SECONDS, MILLION_ENTRIES_SECONDS, STAGE_SECONDS = 3.0, 12.0, 2.0


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
    """How a value reads one atom: the input, or a square.

    shape: of the atom. entries: how many of its features one feature of the value reads, at most. reach: the extent of
    the window that these lie in, along each spatial axis; None where they may lie anywhere. step: positions of the atom
    between neighbours of the value.
    """

    shape: Shape
    entries: float = 1.0
    reach: Shape | None = None
    step: Shape = ()

    def limited(self) -> _Read:
        """The same with no more entries than the window, or the atom, has."""
        most = prod(self.shape)
        if self.reach is not None:
            most = self.shape[0] * prod(map(min, self.reach, self.shape[1:]))
        return replace(self, entries=min(self.entries, float(most)))

    def through(self, node: Node, network: Network) -> _Read:
        """How the value of a linear node reads the atom, whose input reads it like this."""
        entries = self.entries * row_entries(node, network)
        window = isinstance(node, (Conv, AvgPool))
        if self.reach is None or not (window or isinstance(node, (Affine, Add, Polynomial))):
            return replace(self, entries=entries, reach=None).limited()
        if isinstance(node, (Conv, AvgPool)):
            kernel = node.weights.codes.shape[2:] if isinstance(node, Conv) else node.kernel
            dilation = node.dilation if isinstance(node, Conv) else (1,) * len(kernel)
            grown = zip(self.reach, kernel, dilation, self.step, strict=True)
            reach = tuple(own + (size - 1) * gap * step for own, size, gap, step in grown)
            step = tuple(own * stride for own, stride in zip(self.step, node.stride, strict=True))
            return replace(self, entries=entries, reach=reach, step=step).limited()
        return replace(self, entries=entries)

    def beside(self, other: _Read) -> _Read:
        """How the sum of two values reads an atom that both read."""
        reach = None
        if self.reach is not None and other.reach is not None:
            reach = tuple(map(max, self.reach, other.reach))
        return replace(self, entries=self.entries + other.entries, reach=reach).limited()


def _atom(shape: Shape) -> _Read:
    return _Read(shape, reach=(1,) * (len(shape) - 1), step=(1,) * (len(shape) - 1))


def stage_sizes(network: Network) -> tuple[StageSize, ...]:
    """The stages of a network. Entries are an upper limit: a product of sparse matrices may have fewer."""
    values: dict[str, dict[str, _Read]] = {}  # by node, how it reads each atom
    layers: dict[str, str] = {}
    stages: list[StageSize] = []
    for node in network.nodes:
        if isinstance(node, Input):
            values[node.name], layers[node.name] = {node.name: _atom(node.shape)}, node.name
            continue
        weighted = isinstance(node, (Dense, Conv, ConvTranspose))
        layers[node.name] = node.name if weighted else layers[node.inputs[0]]
        read: dict[str, _Read] = {}
        for name in node.inputs:
            for atom, own in values[name].items():
                passed = own.through(node, network)
                read[atom] = read[atom].beside(passed) if atom in read else passed
        squares = _squares(node)
        entries = sum(own.entries for own in read.values()) * node.size
        stages += [StageSize(layers[node.name], node.size, entries)] * squares
        values[node.name] = {node.name: replace(_atom(node.shape), entries=float(squares))} if squares else read
    last = network.nodes[-1]
    entries = sum(own.entries for own in values[last.name].values()) * last.size
    return (*stages, StageSize(layers[last.name], last.size, entries))


def estimate(network: Network, images: int, stages: tuple[StageSize, ...] | None = None) -> Estimate:
    """What compiling a network with this many calibration inputs will take. stages: by default `stage_sizes`."""
    stages = stages or stage_sizes(network)
    largest = max(stages, key=lambda stage: stage.entries)
    entries = sum(stage.entries for stage in stages)
    values = images * (prod(network.input_shape) + sum(stage.values for stage in stages))
    peak = BASE_BYTES + ENTRY_BYTES * entries + LARGEST_ENTRY_BYTES * largest.entries + VALUE_BYTES * values
    seconds = BASE_SECONDS + MILLION_ENTRIES_SECONDS * entries / 1e6 + STAGE_SECONDS * len(stages)
    return Estimate(peak, seconds, largest)


def check_size(network: Network, images: int, limits: Limits, stages: tuple[StageSize, ...] | None = None) -> Estimate:
    """The estimate for a network that may be compiled. stages: as for `estimate`.

    Raises: CompilationSizeError when it exceeds a limit, naming the layer with the most entries.
    """
    found = estimate(network, images, stages)
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


def row_entries(node: Node, network: Network) -> float:
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
