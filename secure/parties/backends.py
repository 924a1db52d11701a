"""What computes on a server: our engine, or SEAL through TenSEAL. Both read and write SEAL's bytes and run the same plans and keys."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Protocol

from compress.errors import BackendError, ConfigError
from secure.evaluators.walk import Evaluator, walk
from secure.params import Params
from secure.plan import Plan
from secure.seal.context import Ring, to_bytes
from secure.seal.evaluator import EncodedConstants, EvaluationKeys, TensealEvaluator

Progress = Callable[[str, float], None]


class BackendName(StrEnum):
    """engine: residues of our own, several times faster, primes of at most 50 bits. seal: every operation by SEAL."""

    ENGINE = "engine"
    SEAL = "seal"


def usable_cores() -> int:
    """Cores that one request may use; 1 where the system does not say which core a thread is on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


class Backend(Protocol):
    """A plan made ready for one way of computing; evaluators and values (ciphertexts) are of its own kind."""

    def evaluator(self, keys: EvaluationKeys) -> Any: ...
    def load(self, native: Any) -> Any: ...
    def run(self, evaluator: Any, inputs: Sequence[Any]) -> list[Any]: ...
    def save(self, value: Any) -> bytes: ...


class SealBackend:
    """Values are SEAL's ciphertexts."""

    def __init__(self, ring: Ring, plan: Plan, cache_bytes: int, progress: Progress | None) -> None:
        self._ring, self._plan = ring, plan
        self._constants = EncodedConstants(ring, plan, cache_bytes)
        self._constants.fill(progress)

    def evaluator(self, keys: EvaluationKeys) -> TensealEvaluator:
        return TensealEvaluator(self._ring, self._constants, keys)

    def load(self, native: Any) -> Any:
        return native

    def run(self, evaluator: Evaluator[Any], inputs: Sequence[Any]) -> list[Any]:
        return walk(self._plan, evaluator, inputs)

    def save(self, value: Any) -> bytes:
        return to_bytes(value)


def default_backend(params: Params) -> BackendName:
    """The fastest that can hold the primes."""
    return BackendName.ENGINE if params.fits_engine else BackendName.SEAL


def make_backend(
    name: BackendName, ring: Ring, plan: Plan, cache_bytes: int, progress: Progress | None = None, threads: int = 1
) -> Backend:
    """Everything of a server that no client's key enters: constants encoded, tables made, threads for a request started.

    Raises: BackendError for a plan that the backend cannot run; ConfigError for threads that it cannot use.
    """
    if name is BackendName.SEAL:
        if threads != 1:
            raise ConfigError("threads", threads, "1 where a plan runs under SEAL")
        if not plan.params.fits_seal:
            raise BackendError(
                "coeff_modulus: the special prime is too near the others for SEAL's key switches to be precise; "
                "run the bundle with the engine backend"
            )
        return SealBackend(ring, plan, cache_bytes, progress)
    from secure.engine.evaluator import EngineBackend  # brings a compiler, which a server under SEAL does not need

    return EngineBackend(ring, plan, cache_bytes, progress, threads)
