"""Where the values of a chunk lie in the workspace of a thread.

A row of a value is one feature: its parts one after the other, `chunk` residues each. Rows are an odd number of cache
lines apart, so that the rows of a panel do not compete for the same few sets of a cache. A value's memory is given to
others after the last step that reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

from secure.coded.plan import BatchPlan, Linear
from secure.engine.buffers import LINE_BYTES
from secure.residues.digits import digit_count, digit_residues

RESIDUE_BYTES = 8
LINE = LINE_BYTES // RESIDUE_BYTES
#: The positions that kernels do at once.
LEAST_CHUNK = 32
#: Chunks that each of several threads gets at least, so that none waits long for the others.
CHUNKS_PER_THREAD = 4
#: What the widest value of a chunk may take.
CACHE_BYTES = 1_000_000


@dataclass(frozen=True)
class Place:
    """A value in the workspace. start: its first row. stride: from row to row. All in residues."""

    start: int
    stride: int
    features: int
    parts: int
    chunk: int

    @property
    def width(self) -> int:
        return self.parts * self.chunk


@dataclass(frozen=True)
class WorkspaceLayout:
    """The places of all values, the input first, and of what each step needs beside its result: room for a second
    result, and for the digits of a panel of its source.

    size: residues of the whole workspace.
    """

    places: tuple[Place, ...]
    scratch: tuple[Place, ...]
    size: int


def chunk_size(plan: BatchPlan, threads: int = 1) -> int:
    """Positions of a chunk: a power of two from 32 on, so that the widest value fits into the cache and every thread
    gets several chunks."""
    features = [plan.inputs, *(step.features for step in plan.steps)]
    widest = max(count * parts for count, parts in zip(features, plan.parts, strict=True))
    degree, chunk = plan.params.poly_modulus_degree, LEAST_CHUNK
    least_chunks = CHUNKS_PER_THREAD * threads if threads > 1 else 1
    while 2 * chunk * least_chunks <= degree and 2 * chunk * widest * RESIDUE_BYTES <= CACHE_BYTES:
        chunk *= 2
    return chunk


def row_stride(width: int) -> int:
    """The least odd number of cache lines that holds `width` residues, in residues."""
    lines = -(-width // LINE)
    return LINE * (lines + 1 - lines % 2)


def lay_out(plan: BatchPlan, chunk: int) -> WorkspaceLayout:
    """First fit: every value gets the lowest memory that no value in use overlaps."""
    features = [plan.inputs, *(step.features for step in plan.steps)]
    last_use = [0] * len(features)
    for index, step in enumerate(plan.steps, start=1):
        for source in step.sources:
            last_use[source] = index
    last_use[-1] = len(features)
    in_use: list[tuple[int, int, int]] = []  # start, end, last use
    places: list[Place] = []
    scratch: list[Place] = []
    size = 0
    for index, (count, parts) in enumerate(zip(features, plan.parts, strict=True)):
        in_use = [entry for entry in in_use if entry[2] >= index]
        stride = row_stride(parts * chunk)
        beside = max(count, -(-_digit_residues(plan, index) // stride))
        for found, until, held in ((places, max(last_use[index], index), count), (scratch, index, beside)):
            start = _first_gap(in_use, held * stride)
            found.append(Place(start, stride, held, parts, chunk))
            in_use.append((start, start + held * stride, until))
            size = max(size, start + held * stride)
    return WorkspaceLayout(tuple(places), tuple(scratch), size)


def _digit_residues(plan: BatchPlan, index: int) -> int:
    """What the digits of a panel of a value's source take; 0 for a value that no matrix makes."""
    step = plan.steps[index - 1] if index else None
    if not isinstance(step, Linear):
        return 0
    (source,) = step.sources
    columns = plan.steps[source - 1].features if source else plan.inputs
    return digit_residues(columns, max(map(digit_count, plan.params.data_primes)))


def _first_gap(in_use: list[tuple[int, int, int]], size: int) -> int:
    start = 0
    for first, end, _ in sorted(in_use):
        if first - start >= size:
            break
        start = max(start, end)
    return start
