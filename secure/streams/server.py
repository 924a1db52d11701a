"""BatchServer: runs a throughput plan on blocks of encrypted images. It needs no key, and cannot hold a secret one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from compress.errors import ConfigError, FormatError
from secure.bundle.batch_specs import BatchServerSpec
from secure.engine.tables import make_tables
from secure.params import check_security
from secure.residues.evaluator import BatchEvaluator
from secure.streams.chacha import initial_state
from secure.streams.frames import Frame, answer_to, in_order, reply_layout, request_layout
from secure.streams.opening import expand, pack

Array = NDArray[np.float64]


class BatchServer:
    """A server of one throughput bundle, for any number of clients."""

    def __init__(self, spec: BatchServerSpec, *, threads: int = 1) -> None:
        """threads: cores that one request may keep busy.

        Raises: InsecureParametersError; BackendError, PlanError for a plan that cannot run exactly; ConfigError.
        """
        if not isinstance(spec, BatchServerSpec):
            raise ConfigError("spec", type(spec).__name__, "a BatchServerSpec; give bundle.server")
        plan = spec.plan
        check_security(plan.params)
        self.spec, self.threads = spec, threads
        self._tables = make_tables(plan.params)
        self._requests = request_layout(spec.bundle_id, plan.params, plan.inputs, plan.upload_bits_dropped)
        self._replies = reply_layout(spec.bundle_id, plan.params, plan.outputs, plan.parts[-1])
        self._evaluator = BatchEvaluator(plan, threads=threads)

    def run_batch(self, request: bytes, name: str = "request") -> bytes:
        """The reply to a request of any number of blocks.

        Raises: SecretKeyError, FormatError, KeyMismatchError.
        """
        return b"".join(self.run_frames(self._requests.split(request, name), name))

    def run_frames(self, frames: Iterable[bytes], name: str = "request") -> Iterator[bytes]:
        """The frames of the reply, one for each frame of the request. It holds one block at a time."""
        parsed = (self._requests.parse(frame, f"{name}, frame {number}") for number, frame in enumerate(frames))
        for number, frame in enumerate(in_order(parsed, name)):
            items = [self._run(frame, which, f"{name}, frame {number}") for which in range(len(frame.items))]
            yield self._replies.to_bytes(answer_to(frame, items))

    def read(self, file: BinaryIO, name: str = "request") -> Iterator[bytes]:
        """The frames of a request in an open file, one at a time, for `run_frames`.

        Raises: SecretKeyError, FormatError, KeyMismatchError.
        """
        return self._requests.read(file, name)

    def residues(self, frame: Frame, which: int, name: str) -> Array:
        """(features, 2, N): a block's ciphertexts modulo prime number `which`, centred, in SEAL's order.

        Raises: FormatError for a residue that is not below its prime.
        """
        plan = self.spec.plan
        dropped, prime = plan.upload_bits_dropped, plan.params.data_primes[which]
        packed = np.frombuffer(frame.items[which], dtype=np.uint64).reshape(plan.inputs, -1)
        result = np.empty((plan.inputs, 2, plan.params.poly_modulus_degree))
        key, bits = initial_state(frame.seed, (0, 0, 0)), prime.bit_length() - dropped
        if not expand(packed, 0, which, key, bits, dropped, result, self._tables):
            raise FormatError(f"{name}: a residue is not below its prime; the file is altered")
        return result

    def _run(self, frame: Frame, which: int, name: str) -> bytes:
        """The packed answers of a block modulo prime number `which`."""
        values = self._evaluator.run(which, self.residues(frame, which, name))
        bits = self.spec.plan.params.data_primes[which].bit_length()
        packed = np.empty((*values.shape[:2], values.shape[2] * bits // 64), dtype=np.uint64)
        pack(values, which, bits, packed, self._tables)
        return packed.tobytes()
