"""The worker processes as the server sees them: started, asked, replaced when they die, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from logging import WARNING
from typing import Any

from cipherpress.service.logs import log
from cipherpress.service.messages import Message, receive_async, send, write_message
from cipherpress.service.settings import ServiceSettings
from compress.errors import (
    BackendError,
    CipherpressError,
    FormatError,
    InsecureParametersError,
    KeyMismatchError,
    ServiceError,
)

#: Libraries of linear algebra that would start threads, which do not live on in a forked process.
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
#: How long the bundles may take to load. The first time after an installation kernels are compiled.
LOAD_S = 600.0
#: Keys of a worker that are remembered here.
MOST_KNOWN_KEYS = 1000


class WorkerDiedError(Exception):
    """A worker ended before it answered."""


@dataclass(eq=False)
class Worker:
    """One worker process. keys: what it is known to hold, by model and key id, so that requests find their keys."""

    process: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    keys: dict[tuple[str, str], None] = field(default_factory=dict)

    def send(self, work: dict[str, Any], body: bytes = b"") -> None:
        """Give it a message. It answers all messages in their order."""
        write_message(self.writer, work, body)

    async def receive(self) -> Message:
        """Its next answer.

        Raises: WorkerDiedError.
        """
        try:
            return await receive_async(self.reader)
        except (EOFError, OSError) as error:
            raise WorkerDiedError(f"worker {self.process} died") from error

    @property
    def dead(self) -> bool:
        """Whether it has ended, as far as is known."""
        try:
            os.kill(self.process, 0)
        except (ProcessLookupError, PermissionError):  # the number is free, or somebody else's by now
            return True
        return self.reader.at_eof()

    def holds(self, key: tuple[str, str]) -> None:
        """Remember that it holds a key; the oldest ones are forgotten here, as they are there."""
        self.keys.pop(key, None)
        self.keys[key] = None
        while len(self.keys) > MOST_KNOWN_KEYS:
            del self.keys[next(iter(self.keys))]

    def kill(self) -> None:
        """End the process whatever it does. Whoever waits for its answer gets a WorkerDiedError."""
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the process, which ends as soon as it is idle."""
        self.writer.close()


class Computing:
    """The process that loads the bundles, and forks workers. It is started anew if it dies."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Load all bundles.

        Raises: CipherpressError as loading them does.
        """
        self.stop()
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "cipherpress.service.computing", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **_ONE_THREAD},
                start_new_session=True,  # Ctrl-C stops the server, which lets workers finish
            )
        self._control = ours
        send(ours, self._settings.for_workers())
        reader, writer = await asyncio.open_connection(sock=ours.dup())
        try:
            answer, _ = await asyncio.wait_for(receive_async(reader), LOAD_S)
            if "compiling" in answer:
                log("compiling kernels for bundles that were never served here; this may take a minute", level=WARNING)
                answer, _ = await asyncio.wait_for(receive_async(reader), LOAD_S)
        except (EOFError, OSError, TimeoutError) as error:
            raise ServiceError("bundles: the process that loads them ended; its last lines say why") from error
        finally:
            writer.close()
        ours.setblocking(True)
        if "error" in answer:
            raise _error_named(answer["error"], answer["message"])

    async def worker(self) -> Worker:
        """A new worker, which has said that it is ready.

        Raises: WorkerDiedError; CipherpressError when bundles that were there at first cannot be loaded again.
        """
        async with self._starting:
            if self._control is None or self._process is None or self._process.poll() is not None:
                await self.start()
            assert self._control is not None
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    socket.send_fds(self._control, [b"w"], [theirs.fileno()])
                except OSError as error:
                    ours.close()
                    self.stop()
                    raise WorkerDiedError("the process that forks workers died") from error
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            hello, _ = await asyncio.wait_for(receive_async(reader), LOAD_S)
        except (EOFError, OSError, TimeoutError) as error:
            writer.close()
            raise WorkerDiedError("a worker ended while it started") from error
        return Worker(hello["process"], reader, writer)

    def stop(self) -> None:
        """End the process that forks; its workers live on."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._control = self._process = None


def _error_named(name: str, message: str) -> CipherpressError:
    """The error that another process raised while it loaded bundles."""
    plain = {one.__name__: one for one in (FormatError, KeyMismatchError, InsecureParametersError, BackendError)}
    return plain.get(name, ServiceError)(message)
