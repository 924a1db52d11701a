"""The server: runs the plan on ciphertexts of clients that registered their evaluation keys.

None of its types can hold a secret key.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Any

from compress.dataset import Progress
from compress.errors import ConfigError, FormatError, SecretKeyError
from secure.bundle.specs import ServerSpec
from secure.parties.backends import BackendName, choose_backend, make_backend, usable_cores
from secure.parties.container import Container, ContainerKind, check_belongs, parse_for_server
from secure.parties.keys import EvaluationKey, check_evaluation_key
from secure.parties.memory import server_memory
from secure.parties.registrations import Registration, Registrations, most_registrations, registration_bytes
from secure.parties.requests import key_loader, reply_writer, request_reader
from secure.seal.context import make_ring
from secure.seal.evaluator import DEFAULT_CACHE_BYTES


class Server:
    """A server of one bundle, for any number of clients. Key ids tell clients apart.

    Any method may be called from any thread at any time. Requests run in parallel, and beside `register` and `forget`.
    Registrations run one after the other. A request that has started keeps its key to its end, whatever happens to
    the registration.
    """

    def __init__(
        self,
        spec: ServerSpec,
        *,
        backend: str | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        memory_bytes: float | None = None,
        keys_bytes: float | None = None,
        progress: Progress | None = None,
        threads: int = 1,
    ) -> None:
        """Encode the plan's constants in up to `cache_bytes`: whole, or compactly, and the others again at every use.

        memory_bytes: what this process may take at its peak with the keys of one client and one request at a time; it
        sets cache_bytes to what is left for the constants (`secure.parties.memory`). Less memory takes longer per
        request. None: no limit but cache_bytes.
        backend: "engine" or "seal"; None takes the engine, or SEAL where the plan's primes are too large for the
        engine. The attribute `backend` says which one runs.
        keys_bytes: memory for registered keys; the attribute `registration_bytes` says what one key takes. Where it is
        full, the key that was used least recently leaves. None: DEFAULT_KEYS_BYTES, or room for one key that is larger.
        threads: cores that one request may keep busy under the engine. While one request uses them, every other request
        runs on one core.

        Raises: InsecureParametersError; BackendError for a backend that cannot run the plan; ConfigError for a spec of
        another type, for another backend, for too little room for one key, for threads below 1 or above the cores that
        this process may use, for more than one thread under SEAL, and for a memory_bytes below what must be there.
        """
        if not isinstance(spec, ServerSpec):
            raise ConfigError("spec", type(spec).__name__, "a ServerSpec; give bundle.server, or load_server(folder)")
        cores = usable_cores()
        if not 1 <= threads <= cores:
            raise ConfigError("threads", threads, f"1 to {cores}, the cores that this process may use")
        self.spec, self.threads = spec, threads
        self._ring = make_ring(spec.plan.params)
        self.backend = choose_backend(backend, spec.plan.params)
        self.registration_bytes = registration_bytes(spec.plan, under_seal=self.backend is BackendName.SEAL)
        self._registrations = Registrations(most_registrations(keys_bytes, self.registration_bytes))
        self._registering = Lock()
        if memory_bytes is not None:
            memory = server_memory(spec.plan, under_seal=self.backend is BackendName.SEAL)
            cache_bytes = memory.room(memory_bytes)
        self._backend = make_backend(self.backend, self._ring, spec.plan, cache_bytes, progress, threads)
        self._read = request_reader(self._ring, spec.plan, self.backend, self._backend)
        self._write = reply_writer(self._ring, self.backend, self._backend)
        self._load = key_loader(self.backend)

    def register(self, evaluation_key: EvaluationKey | bytes | Path, name: str = "evaluation key") -> bytes:
        """Take a client's evaluation key, all of it or nothing, and return its key id.

        A file (a Path) is read key by key, so that it is not in memory beside what is made of it. A key that is
        registered already is not loaded again. Where the room for keys is full, the key that was used least recently
        leaves.
        Raises: SecretKeyError, FormatError, KeyMismatchError, BackendError; OSError for a file that cannot be read.
        """
        with ExitStack() as files:
            if isinstance(evaluation_key, Path):
                evaluation_key = files.enter_context(EvaluationKey.opened(evaluation_key, name))
            if isinstance(evaluation_key, bytes):
                evaluation_key = EvaluationKey.from_bytes(evaluation_key, name)
            if not isinstance(evaluation_key, EvaluationKey):
                raise SecretKeyError(
                    f"{name}: a server takes evaluation keys only, not {type(evaluation_key).__name__}; "
                    "give client.evaluation_key"
                )
            manifest, key_id = self.spec.plan.key_manifest, evaluation_key.key_id
            digest = check_evaluation_key(evaluation_key, self.spec.bundle_id, manifest, self.spec.client_digest)
            with self._registering:  # one at a time, so that one key at most is in memory beside those that are kept
                if not self._registrations.holds(key_id, digest):
                    keys = self._load(evaluation_key.items, manifest, self._ring)
                    made = Registration(digest, self._backend.evaluator(keys))
                    files.close()  # refuses a file that was written to meanwhile
                    self._registrations.add(key_id, made)
        return key_id

    def forget(self, key_id: bytes) -> None:
        """Remove a client's evaluation key; its requests are refused from then on. One that runs is finished."""
        self._registrations.forget(key_id)

    def run(self, request: bytes, name: str = "request") -> bytes:
        """The reply to a request.

        Raises: SecretKeyError, FormatError, KeyMismatchError, KeyNotRegisteredError, BackendError.
        """
        container = self._parsed(request, name)
        evaluator = self._registrations.evaluator(container.key_id, name)
        outputs = self._backend.run(evaluator, self._loaded(container, name))
        return self.pack_reply(container.key_id, outputs)

    def pack_reply(self, key_id: bytes, outputs: Sequence[Any]) -> bytes:
        """The reply that carries these output ciphertexts to the client of that key."""
        items = tuple(self._write(output) for output in outputs)
        return Container(ContainerKind.REPLY, self.spec.bundle_id, key_id, items).to_bytes()

    def load_request(self, request: bytes, name: str = "request") -> tuple[bytes, list[Any]]:
        """(key id, ciphertexts as values of the backend) of a request, after all checks.

        Raises: SecretKeyError, FormatError, KeyMismatchError, KeyNotRegisteredError, BackendError.
        """
        container = self._parsed(request, name)
        self._registrations.evaluator(container.key_id, name)
        return container.key_id, self._loaded(container, name)

    def run_ciphertexts(self, key_id: bytes, ciphertexts: Sequence[Any], name: str = "request") -> list[Any]:
        """Run the plan on the backend's ciphertexts. `server_ms` is the time of this call; it includes no
        serialization.

        Raises: KeyNotRegisteredError, BackendError.
        """
        return self._backend.run(self._registrations.evaluator(key_id, name), ciphertexts)

    def _parsed(self, request: bytes, name: str) -> Container:
        container = parse_for_server(request, ContainerKind.REQUEST, name)
        check_belongs(container, self.spec.bundle_id, name)
        return container

    def _loaded(self, container: Container, name: str) -> list[Any]:
        plan = self.spec.plan
        if len(container.items) != plan.inputs:
            raise FormatError(f"{name}: {len(container.items)} ciphertexts, the network takes {plan.inputs}")
        return [self._read(item, name) for item in container.items]
