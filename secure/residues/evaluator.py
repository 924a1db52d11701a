"""BatchEvaluator: runs a throughput plan on the residues of a block, chunk of positions after chunk.

All steps act on each position alone. So a chunk of positions goes through the whole network while it lies in the
cache, and threads share the chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from compress.errors import ConfigError
from secure.coded.dry import dry_run
from secure.coded.plan import FRESH_PARTS, BatchPlan
from secure.engine.buffers import Workspaces
from secure.residues.elementwise import read_chunk, write_chunk
from secure.residues.layout import LEAST_CHUNK, chunk_size, lay_out
from secure.residues.narrow import narrowed, read_inputs
from secure.residues.steps import prepare
from secure.residues.times import TYPICAL_RESIDUE_TIMES, ResidueTimes

Array = NDArray[np.float64]


@dataclass(frozen=True)
class InputChunk:
    """Where the residues of a chunk of positions belong, for kernels as one contiguous array.

    flat: position j of part p of input read_inputs[f] is flat[f * stride + p * positions + j]. stride and positions
    are multiples of eight, flat starts at a cache line.
    """

    flat: Array
    stride: int
    positions: int

    @property
    def residues(self) -> Array:
        """(inputs that are read, 2, positions): the same memory, for numpy."""
        width = FRESH_PARTS * self.positions
        return self.flat.reshape(-1, self.stride)[:, :width].reshape(-1, FRESH_PARTS, self.positions)


#: Writes the centred residues of the positions from the first one on, as many as the chunk takes: fill(first, chunk).
Fill = Callable[[int, InputChunk], None]


class BatchEvaluator:
    """Runs one plan. Several threads may use it; constants are prepared once.

    read_inputs: the inputs that the plan reads, ascending. The others' residues are never looked at.
    """

    def __init__(
        self,
        plan: BatchPlan,
        *,
        threads: int = 1,
        chunk: int | None = None,
        times: ResidueTimes = TYPICAL_RESIDUE_TIMES,
    ) -> None:
        """threads: they share the chunks of a block. chunk: positions at a time, a power of two from 32 to N; by
        default as many as fit into the cache. times: say which linear layers are done by BLAS.

        Raises: PlanError for a plan that is inconsistent or that float64 cannot run exactly. ConfigError for wrong
        threads or chunk.
        """
        dry_run(plan)  # kernels do not check indices
        degree = plan.params.poly_modulus_degree
        if threads < 1:
            raise ConfigError("threads", threads, "1 or more")
        chunk = chunk_size(plan, threads) if chunk is None else chunk
        if chunk < LEAST_CHUNK or chunk & (chunk - 1) or chunk > degree:
            raise ConfigError("chunk", chunk, f"a power of two from {LEAST_CHUNK} to {degree}")
        self.plan, self.threads, self.chunk = plan, threads, chunk
        self.read_inputs = read_inputs(plan)
        smaller = narrowed(plan, self.read_inputs)
        self._layout = lay_out(smaller, chunk)
        self._calls = [prepare(smaller, self._layout, prime, times) for prime in plan.params.data_primes]
        self._workspaces = Workspaces(self._layout.size)
        self._pool = ThreadPoolExecutor(threads - 1, "cipherpress-chunks") if threads > 1 else None

    def run(self, prime_index: int, residues: Array) -> Array:
        """(outputs, parts, N): the results of (inputs, 2, N) residues modulo one prime, both centred float64.

        Raises: ValueError for residues of another shape or type.
        """
        wanted = (self.plan.inputs, FRESH_PARTS, self.plan.params.poly_modulus_degree)
        if residues.shape != wanted or residues.dtype != np.float64:
            raise ValueError(f"residues: {residues.dtype} {residues.shape}; the plan takes float64 {wanted}")
        flat, (_, parts, degree), inputs = np.ascontiguousarray(residues).reshape(-1), residues.shape, self.read_inputs

        def fill(first: int, chunk: InputChunk) -> None:
            read_chunk(flat, first, degree, chunk.flat, chunk.stride, inputs, parts, chunk.positions)

        return self.run_filled(prime_index, fill)

    def run_filled(self, prime_index: int, fill: Fill) -> Array:
        """The same for residues that `fill` writes chunk by chunk where they are used. Several threads call it."""
        degree = self.plan.params.poly_modulus_degree
        result = np.empty((self.plan.outputs, self.plan.parts[-1], degree))
        firsts = map(self.chunk.__mul__, count())  # next() of it is atomic
        with _BLAS.limited():
            helpers = [
                self._pool.submit(self._take_chunks, firsts, prime_index, fill, result)
                for _ in range(self.threads - 1)
                if self._pool is not None
            ]
            try:
                self._take_chunks(firsts, prime_index, fill, result)
            finally:
                for helper in helpers:
                    if not helper.cancel():  # one that has not begun would find nothing to do
                        helper.result()
        return result

    def _take_chunks(self, firsts: Iterator[int], prime_index: int, fill: Fill, result: Array) -> None:
        """Run chunks until none is left."""
        prime, calls = float(self.plan.params.data_primes[prime_index]), self._calls[prime_index]
        source, target = self._layout.places[0], self._layout.places[-1]
        work = self._workspaces.take()
        try:
            inputs = InputChunk(work[: source.features * source.stride], source.stride, self.chunk)
            where, flat, degree = (work, target.start, target.stride), result.reshape(-1), result.shape[-1]
            shape = target.features, target.parts, self.chunk
            while (first := next(firsts)) < degree:
                fill(first, inputs)
                for call in calls:
                    call(work)
                write_chunk(*where, flat, first, degree, *shape, prime, 1 / prime)
        finally:
            self._workspaces.give(work)


class _SingleThreadedBlas:
    """Limits BLAS to one thread while any block runs. The limit belongs to the process, so the first block sets it and
    the last one restores it."""

    def __init__(self) -> None:
        self._libraries = ThreadpoolController()  # finding them takes longer than a block of a small network
        self._lock = Lock()
        self._running = 0
        self._restore: Callable[[], None] | None = None

    @contextmanager
    def limited(self) -> Iterator[None]:
        with self._lock:
            if self._running == 0:
                self._restore = self._libraries.limit(limits=1, user_api="blas").restore_original_limits
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                if self._running == 0 and self._restore is not None:
                    self._restore()


_BLAS = _SingleThreadedBlas()
