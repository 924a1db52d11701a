"""The servers of all bundles in one process, and the keys that they hold: at most so many bytes in all."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from compress.errors import CipherpressError, ConfigError
from secure.bundle.batch_specs import BatchServerSpec
from secure.bundle.files import load_bundle
from secure.bundle.specs import ServerSpec
from secure.parties.registrations import registration_bytes
from secure.parties.server import Server
from secure.streams.server import BatchServer


class KeyFileError(Exception):
    """The file of an evaluation key is damaged or gone; the message says why."""


@dataclass(frozen=True)
class Reply:
    """The bytes of a reply, empty where they are in a file, and what the plan took. key_id: of a key that was
    checked."""

    body: bytes = b""
    plan_ms: float = 0.0
    key_id: str = ""


class KeyCache:
    """The keys that the servers of this process hold, by model and key id. The least recently used ones leave."""

    def __init__(self, most_bytes: int, servers: Mapping[str, Server]) -> None:
        """most_bytes: also what each server was given, so that no server drops a key of its own accord."""
        self._most_bytes, self._servers = most_bytes, servers
        self._held: OrderedDict[tuple[str, bytes], int] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        return sum(self._held.values())

    def holds(self, model: str, key_id: bytes) -> bool:
        return (model, key_id) in self._held

    def take(self, model: str, key_id: bytes, file: Path) -> None:
        """Have this key registered with the server of this model.

        Raises: KeyFileError.
        """
        if self.holds(model, key_id):
            self._held.move_to_end((model, key_id))
            return
        try:
            found = self.register(model, file.read_bytes())
        except (OSError, CipherpressError) as error:
            raise KeyFileError(str(error)) from error
        if found != key_id:
            raise KeyFileError(f"it has key {found.hex()[:8]}, not {key_id.hex()[:8]}")

    def register(self, model: str, content: bytes) -> bytes:
        """Check a key and register it; its id.

        Raises: SecretKeyError, FormatError, KeyMismatchError.
        """
        server = self._servers[model]
        key_id = server.register(content)
        self._held[model, key_id] = server.registration_bytes
        self._held.move_to_end((model, key_id))
        while self.held_bytes > self._most_bytes:
            (other, leaving), _ = self._held.popitem(last=False)
            self._servers[other].forget(leaving)
        return key_id


class Parties:
    """The servers of all bundles. Loading them takes seconds; each request afterwards its plan alone."""

    def __init__(self, bundles: Mapping[str, Path], threads: int, key_cache_bytes: int) -> None:
        """Raises: FormatError, InsecureParametersError, BackendError, ConfigError."""
        self._latency: dict[str, Server] = {}
        self._batch: dict[str, BatchServer] = {}
        for name, folder in bundles.items():
            spec = load_bundle(folder).server
            if isinstance(spec, BatchServerSpec):
                self._batch[name] = BatchServer(spec, threads=threads)
            else:
                assert isinstance(spec, ServerSpec), "a bundle is of one of two modes"
                one_key = registration_bytes(spec.plan)
                if one_key > key_cache_bytes:
                    allowed = f"at least {one_key:,}, which one key of '{name}' takes"
                    raise ConfigError("key_cache_bytes", key_cache_bytes, allowed)
                self._latency[name] = Server(spec, threads=threads, keys_bytes=key_cache_bytes)
        self.keys = KeyCache(key_cache_bytes, self._latency)

    def run(self, work: Mapping[str, Any], request: bytes) -> Reply:
        """The reply to one request, for latency. request: nothing where it is in a file.

        Raises: KeyFileError; CipherpressError for a request that is refused; OSError.
        """
        if "request_file" in work:
            with open(work["request_file"], "rb", buffering=0) as file:
                request = file.read(work["request_bytes"])
        server, key_id = self._latency[work["model"]], bytes.fromhex(work["key_id"])
        self.keys.take(work["model"], key_id, Path(work["key_file"]))
        started = perf_counter()
        return Reply(server.run(request), 1e3 * (perf_counter() - started))

    def run_batch(self, work: Mapping[str, Any]) -> Reply:
        """The reply to a batch, from file to file. The request is read where it lies, and not copied.

        Raises: CipherpressError for a request that is refused; OSError.
        """
        server, started = self._batch[work["model"]], perf_counter()
        with open(work["request_file"], "rb") as file:
            request = mmap.mmap(file.fileno(), work["request_bytes"], prot=mmap.PROT_READ)
        with open(work["reply_file"], "wb") as reply:
            for frame in server.run_frames(server.split(memoryview(request))):
                reply.write(frame)
        return Reply(plan_ms=1e3 * (perf_counter() - started))

    def check_key(self, work: Mapping[str, Any]) -> Reply:
        """Check an evaluation key that was uploaded, and keep it for the requests that follow.

        Raises: OSError; SecretKeyError, FormatError, KeyMismatchError.
        """
        return Reply(key_id=self.keys.register(work["model"], Path(work["key_file"]).read_bytes()).hex())
