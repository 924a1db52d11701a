"""Backends: what computes a plan. One vocabulary for the whole project: engine, seal, clear.

A server computes on ciphertexts with our engine or with SEAL. Both read and write SEAL's bytes and take the same plans
and keys. A round trip may also run the plan in clear.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

from compress.dataset import Progress
from compress.errors import BackendError, ConfigError
from secure.evaluators.walk import Evaluator, walk
from secure.params import ENGINE_PRIME_BITS, Params
from secure.plan import Plan
from secure.seal.context import Ring, to_bytes
from secure.seal.evaluator import EncodedConstants, EvaluationKeys, TensealEvaluator


class BackendName(StrEnum):
    """The names of all backends."""

    ENGINE = "engine"  # our own evaluator: several times faster than SEAL, for primes of at most 50 bits
    SEAL = "seal"  # every operation by SEAL, through TenSEAL
    CLEAR = "clear"  # the plan on numbers that are not encrypted; never on a server


#: The backends of a server.
ENCRYPTED = (BackendName.ENGINE, BackendName.SEAL)


def backend_named(name: str, allowed: Sequence[BackendName] = tuple(BackendName)) -> BackendName:
    """The backend of this name.

    Raises: ConfigError naming what is allowed.
    """
    if name not in allowed:
        raise ConfigError("backend", str(name), ", ".join(allowed))
    return BackendName(name)


def usable_cores() -> int:
    """Cores that one request may use. 1 on systems that do not say which core a thread runs on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


class Backend(Protocol):
    """A plan prepared for one backend. Evaluators and values (ciphertexts) have types of the backend's own."""

    def evaluator(self, keys: EvaluationKeys) -> Any: ...
    def load(self, native: Any) -> Any: ...
    def run(self, evaluator: Any, inputs: Sequence[Any]) -> list[Any]: ...
    def save(self, value: Any) -> bytes: ...


class SealBackend:
    """A plan prepared for SEAL. Values are SEAL's ciphertexts."""

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


def choose_backend(name: str | None, params: Params) -> BackendName:
    """The backend that a server runs plans of these primes with; for None the fastest that can.

    Raises: ConfigError for a name that is no server's backend; BackendError for a backend that cannot run these primes.
    """
    if name is None:
        return BackendName.ENGINE if params.fits_engine else BackendName.SEAL
    chosen = backend_named(name, ENCRYPTED)
    if chosen is BackendName.ENGINE and not params.fits_engine:
        largest = max(prime.bit_length() for prime in params.all_primes)
        raise BackendError(
            f"backend: 'engine' cannot run this bundle: it takes primes of up to {ENGINE_PRIME_BITS} bits, "
            f"and one here has {largest}; use 'seal'"
        )
    if chosen is BackendName.SEAL and params.is_hybrid:
        raise BackendError(
            f"backend: 'seal' cannot run this bundle: its key switches are hybrid, with {len(params.special_primes)} "
            f"special primes and digits of up to {max(params.digits, default=1)} primes, where SEAL has one of each; "
            "use 'engine', or compile again with --backends both"
        )
    if chosen is BackendName.SEAL and not params.fits_seal:
        raise BackendError(
            "backend: 'seal' cannot run this bundle: its special prime is too small for SEAL's key switches to be "
            "precise; use 'engine', or compile again with --backends both"
        )
    return chosen


def make_backend(
    name: str, ring: Ring, plan: Plan, cache_bytes: int, progress: Progress | None = None, threads: int = 1
) -> Backend:
    """The parts of a server that are the same for all clients: encoded constants, tables, the threads for one request.

    Raises: ConfigError for a name that is no server's backend, or threads that the backend cannot use; BackendError
    for a plan that the backend cannot run.
    """
    if choose_backend(name, plan.params) is BackendName.SEAL:
        if threads != 1:
            raise ConfigError("threads", threads, "1 where a plan runs under SEAL")
        return SealBackend(ring, plan, cache_bytes, progress)
    from secure.engine.evaluator import EngineBackend  # loads a compiler, which a server under SEAL does not need

    return EngineBackend(ring, plan, cache_bytes, progress, threads)
