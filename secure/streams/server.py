"""BatchServer: runs a throughput plan on blocks of encrypted images. It needs no key, and cannot hold a secret one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from compress.checks import is_whole
from compress.errors import ConfigError, FormatError
from secure.bundle.batch_specs import BatchServerSpec
from secure.coded.plan import FRESH_PARTS
from secure.draws.bits import row_words
from secure.draws.chacha import initial_state
from secure.engine.tables import make_tables
from secure.params import check_security
from secure.parties.container import Buffer
from secure.residues.evaluator import BatchEvaluator, Fill, InputChunk
from secure.streams.frames import Frame, answer_to, in_order, reply_layout, request_layout
from secure.streams.opening import expand, expand_chunk, pack

Array = NDArray[np.float64]
Words = NDArray[np.uint64]
Words32 = NDArray[np.uint32]

#: Words that are drawn per residue, less one, up to which a row with a word that is replaced is made as a whole for
#: each of its chunks.
RARE = 2.0**-16


class BatchServer:
    """A server of one throughput bundle, for any number of clients. arithmetic: runs the plan on residues."""

    def __init__(self, spec: BatchServerSpec, *, threads: int = 1) -> None:
        """threads: cores that one request may keep busy.

        Raises: InsecureParametersError; BackendError, PlanError for a plan that cannot run exactly; ConfigError.
        """
        if not isinstance(spec, BatchServerSpec):
            raise ConfigError("spec", type(spec).__name__, "a BatchServerSpec; give bundle.server")
        if not is_whole(threads) or threads < 1:
            raise ConfigError("threads", threads, "a whole number from 1 on")
        plan = spec.plan
        check_security(plan.params)
        self.spec, self.threads = spec, threads
        self._tables = make_tables(plan.params)
        self._requests = request_layout(spec.bundle_id, plan.params, plan.inputs, plan.upload_bits_dropped)
        self._replies = reply_layout(spec.bundle_id, plan.params, plan.outputs, plan.parts[-1])
        self.arithmetic = BatchEvaluator(plan, threads=threads)

    def run_batch(self, request: bytes, name: str = "request") -> bytes:
        """The reply to a request of any number of blocks.

        Raises: SecretKeyError, FormatError, KeyMismatchError.
        """
        return b"".join(self.run_frames(self.split(request, name), name))

    def run_frames(self, frames: Iterable[Buffer], name: str = "request") -> Iterator[bytes]:
        """The frames of the reply, one for each frame of the request. It holds one block at a time."""
        parsed = (self.parsed(frame, f"{name}, frame {number}") for number, frame in enumerate(frames))
        for number, frame in enumerate(in_order(parsed, name)):
            items = [self._run(frame, which, f"{name}, frame {number}") for which in range(len(frame.items))]
            yield self._replies.to_bytes(answer_to(frame, items))

    def read(self, file: BinaryIO, name: str = "request") -> Iterator[bytes]:
        """The frames of a request in an open file, one at a time, for `run_frames`.

        Raises: SecretKeyError, FormatError, KeyMismatchError.
        """
        return self._requests.read(file, name)

    def split(self, request: Buffer, name: str = "request") -> Iterator[memoryview]:
        """`read` for a request in memory, of which nothing is copied."""
        return self._requests.split(request, name)

    def parsed(self, frame: Buffer, name: str = "request") -> Frame:
        """A frame's content, after all checks that need no other frame.

        Raises: SecretKeyError, FormatError, KeyMismatchError.
        """
        return self._requests.parse(frame, name)

    def residues(self, frame: Frame, which: int, name: str) -> Array:
        """(features, 2, N): a block's ciphertexts modulo prime number `which`, centred, in SEAL's order.

        Raises: FormatError for a residue that is not below its prime.
        """
        plan = self.spec.plan
        packed, key, bits = self._packed(frame, which)
        result = np.empty((plan.inputs, FRESH_PARTS, plan.params.poly_modulus_degree))
        if not expand(packed, 0, which, key, bits, plan.upload_bits_dropped, result, self._tables):
            raise _too_large(name)
        return result

    def _run(self, frame: Frame, which: int, name: str) -> Buffer:
        """The packed answers of a block modulo prime number `which`."""
        prime = self.spec.plan.params.data_primes[which]
        bits = prime.bit_length()
        if self.spec.plan.upload_bits_dropped or 2**bits - prime > RARE * prime:
            values = self.arithmetic.run(which, self.residues(frame, which, name))
        else:
            values = self.arithmetic.run_filled(which, self._filler(frame, which, name))
        packed = np.empty((*values.shape[:2], row_words(values.shape[2], bits)), dtype=np.uint64)
        pack(values, which, bits, packed, self._tables)
        return packed.data.cast("B")

    def _filler(self, frame: Frame, which: int, name: str) -> Fill:
        """Makes residues where they are used, so that those of a whole block are never in memory."""
        packed, key, bits = self._packed(frame, which)
        read = self.arithmetic.read_inputs

        def fill(first: int, chunk: InputChunk) -> None:
            where = chunk.flat, chunk.stride, chunk.positions
            if not expand_chunk(packed, read, first, which, key, bits, *where, self._tables):
                raise _too_large(name)

        return fill

    def _packed(self, frame: Frame, which: int) -> tuple[Words, Words32, int]:
        """(packed first parts (features, words), state of the second parts' stream, bits of a packed value)."""
        plan = self.spec.plan
        packed = np.frombuffer(frame.items[which], dtype=np.uint64).reshape(plan.inputs, -1)
        bits = plan.params.data_primes[which].bit_length() - plan.upload_bits_dropped
        return np.require(packed, requirements="A"), initial_state(frame.seed, (0, 0, 0)), bits


def _too_large(name: str) -> FormatError:
    return FormatError(f"{name}: a residue is not below its prime; the file is altered")
