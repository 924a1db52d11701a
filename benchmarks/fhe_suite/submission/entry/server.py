"""A request to a reply, frame after frame. The server has the plan and no key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from compress.errors import FormatError
from entry import words
from entry.modular import below_prime, centred, reduce_
from entry.plan import run_plan
from entry.sampling import uniform_rows
from entry.transform import Transform
from secure.bundle.batch_specs import BatchServerSpec
from secure.streams.frames import Frame, answer_to, in_order, reply_layout, request_layout


class Server:
    """Runs one throughput plan on requests."""

    def __init__(self, spec: BatchServerSpec) -> None:
        plan = self._plan = spec.plan
        self._requests = request_layout(spec.bundle_id, plan.params, plan.inputs, plan.upload_bits_dropped)
        self._replies = reply_layout(spec.bundle_id, plan.params, plan.outputs, plan.parts[-1])

    @cached_property
    def _transform(self) -> Transform:
        """Of the only prime, where clients send coefficients."""
        (prime,) = self._plan.params.data_primes
        return Transform(prime, self._plan.params.poly_modulus_degree)

    def read(self, file: BinaryIO, name: str) -> Iterator[bytes]:
        """The frames of a request in an open file."""
        return self._requests.read(file, name)

    def run(self, frames: Iterable[bytes], name: str) -> Iterator[bytes]:
        """The frames of the reply.

        Raises: SecretKeyError, FormatError, KeyMismatchError.
        """
        for number, frame in enumerate(in_order((self._requests.parse(frame, name) for frame in frames), name)):
            items = [self._answer(frame, which, f"{name}, frame {number}") for which in range(len(frame.items))]
            yield self._replies.to_bytes(answer_to(frame, items))

    def _answer(self, frame: Frame, which: int, name: str) -> memoryview:
        """The packed answers modulo prime number `which`."""
        plan, prime = self._plan, self._plan.params.data_primes[which]
        answers = run_plan(plan, prime, self._residues(frame, which, name))
        packed = words.pack(below_prime(answers, prime).reshape(-1, answers.shape[2]), prime.bit_length())
        return packed.data.cast("B")

    def _residues(self, frame: Frame, which: int, name: str) -> NDArray[np.float64]:
        """(features, 2, N): the block's ciphertexts, centred."""
        params, features, dropped = self._plan.params, self._plan.inputs, self._plan.upload_bits_dropped
        prime, degree = params.data_primes[which], params.poly_modulus_degree
        packed = np.frombuffer(frame.items[which], dtype=np.uint64).reshape(features, -1)
        first = words.unpack(packed, prime.bit_length() - dropped)
        result = np.empty((features, 2, degree))
        if dropped:
            result[:, 0] = self._transform.forward(reduce_(first.astype(np.float64) * 2**dropped, prime))
        elif first.max() >= prime:
            raise FormatError(f"{name}: a residue is not below its prime; the file is altered")
        else:
            result[:, 0] = centred(first, prime)
        result[:, 1] = centred(uniform_rows(frame.seed, which, prime, features, degree), prime)
        return result
