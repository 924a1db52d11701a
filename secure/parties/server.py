"""The server: runs the plan on ciphertexts of clients that registered their evaluation keys.

None of its types can hold a secret key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compress.dataset import Progress
from compress.errors import ConfigError, FormatError, KeyMismatchError, SecretKeyError
from secure.bundle.specs import ServerSpec
from secure.evaluators.walk import Evaluator
from secure.parties.backends import choose_backend, make_backend, usable_cores
from secure.parties.container import Container, ContainerKind, check_belongs, parse_for_server
from secure.parties.keys import EvaluationKey, load_evaluation_key
from secure.seal.context import load_ciphertext, make_ring
from secure.seal.evaluator import DEFAULT_CACHE_BYTES


class Server:
    """A server of one bundle, for any number of clients. Key ids tell clients apart."""

    def __init__(
        self,
        spec: ServerSpec,
        *,
        backend: str | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        progress: Progress | None = None,
        threads: int = 1,
    ) -> None:
        """Encode the plan's constants: up to `cache_bytes` of them now, the others again at every use.

        backend: "engine" or "seal"; None takes the engine, or SEAL where the plan's primes are too large for the
        engine. The attribute `backend` says which one runs.
        threads: cores that one request may keep busy under the engine. While one request uses them, every other request
        runs on one core.

        Raises: InsecureParametersError; BackendError for a backend that cannot run the plan; ConfigError for a spec of
        another type, for another backend, for threads below 1 or above the cores that this process may use, and for
        more than one thread under SEAL.
        """
        if not isinstance(spec, ServerSpec):
            raise ConfigError("spec", type(spec).__name__, "a ServerSpec; give bundle.server, or load_server(folder)")
        cores = usable_cores()
        if not 1 <= threads <= cores:
            raise ConfigError("threads", threads, f"1 to {cores}, the cores that this process may use")
        self.spec, self.threads = spec, threads
        self._ring = make_ring(spec.plan.params)
        self.backend = choose_backend(backend, spec.plan.params)
        self._backend = make_backend(self.backend, self._ring, spec.plan, cache_bytes, progress, threads)
        self._evaluators: dict[bytes, Evaluator[Any]] = {}

    def register(self, evaluation_key: EvaluationKey | bytes, name: str = "evaluation key") -> bytes:
        """Take a client's evaluation key and return its key id.

        Raises: SecretKeyError, FormatError, KeyMismatchError, BackendError.
        """
        if isinstance(evaluation_key, bytes):
            evaluation_key = EvaluationKey.from_bytes(evaluation_key, name)
        if not isinstance(evaluation_key, EvaluationKey):
            raise SecretKeyError(
                f"{name}: a server takes evaluation keys only, not {type(evaluation_key).__name__}; "
                "give client.evaluation_key"
            )
        manifest = self.spec.plan.key_manifest
        keys = load_evaluation_key(evaluation_key, self.spec.bundle_id, manifest, self._ring)
        self._evaluators[evaluation_key.key_id] = self._backend.evaluator(keys)
        return evaluation_key.key_id

    def forget(self, key_id: bytes) -> None:
        """Remove a client's evaluation key; its requests are refused from then on."""
        self._evaluators.pop(key_id, None)

    def run(self, request: bytes, name: str = "request") -> bytes:
        """The reply to a request.

        Raises: SecretKeyError, FormatError, KeyMismatchError, BackendError.
        """
        key_id, ciphertexts = self.load_request(request, name)
        return self.pack_reply(key_id, self.run_ciphertexts(key_id, ciphertexts))

    def pack_reply(self, key_id: bytes, outputs: Sequence[Any]) -> bytes:
        """The reply that carries these output ciphertexts to the client of that key."""
        items = tuple(self._backend.save(output) for output in outputs)
        return Container(ContainerKind.REPLY, self.spec.bundle_id, key_id, items).to_bytes()

    def load_request(self, request: bytes, name: str = "request") -> tuple[bytes, list[Any]]:
        """(key id, ciphertexts as values of the backend) of a request, after all checks.

        Raises: SecretKeyError, FormatError, KeyMismatchError, BackendError.
        """
        container = parse_for_server(request, ContainerKind.REQUEST, name)
        check_belongs(container, self.spec.bundle_id, name)
        if container.key_id not in self._evaluators:
            raise KeyMismatchError(
                f"{name}: no evaluation key {container.key_id.hex()[:8]} is registered; register it first"
            )
        plan = self.spec.plan
        if len(container.items) != plan.inputs:
            raise FormatError(f"{name}: {len(container.items)} ciphertexts, the network takes {plan.inputs}")
        return container.key_id, [
            self._backend.load(load_ciphertext(self._ring, item, plan.input_level, 2, name)) for item in container.items
        ]

    def run_ciphertexts(self, key_id: bytes, ciphertexts: Sequence[Any]) -> list[Any]:
        """Run the plan on the backend's ciphertexts. `server_ms` is the time of this call; it includes no
        serialization.

        Raises: BackendError.
        """
        return self._backend.run(self._evaluators[key_id], ciphertexts)
