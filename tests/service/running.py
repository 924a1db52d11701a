"""Servers in processes of their own, for tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.process_use import children

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


@dataclass
class Running:
    """A server that runs. url: where."""

    process: subprocess.Popen[str]
    url: str
    errors: Path

    @property
    def computing(self) -> int:
        """The process that forks workers."""
        (found,) = children(self.process.pid)
        return found

    @property
    def workers(self) -> list[int]:
        return [worker for computing in children(self.process.pid) for worker in children(computing)]

    def kill(self) -> None:
        """As a crash, or the kernel short of memory, ends it."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """As an operator stops it; its exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


@contextmanager
def running(*bundles: str | Path, options: tuple[str, ...] = ()) -> Iterator[Running]:
    """`cipherpress serve` on a free port, from when it is ready."""
    command = [sys.executable, "-m", "cli", "serve", *map(str, bundles), "--port", "0", "--json", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    errors = Path(os.environ["CIPHERPRESS_CACHE"]) / f"server-{time.monotonic_ns()}.log"
    with errors.open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, errors.read_text()
        yield Running(process, json.loads(line)["url"], errors)
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()


def wait_until(true: object, *, what: str) -> None:
    """Wait until a function returns something true."""
    assert callable(true)
    ends = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < ends, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.02)


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


@dataclass
class Recorder:
    """A relay in front of a server that keeps every byte that passes. url: where clients connect."""

    url: str
    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


@contextmanager
def recorded(url: str) -> Iterator[Recorder]:
    """A relay to a server, for as long as the block runs."""
    host, port = url.removeprefix("http://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    recorder = Recorder(f"http://127.0.0.1:{listener.getsockname()[1]}")

    def pump(source: socket.socket, target: socket.socket, record: bytearray) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                record += piece
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection((host, int(port)))
            opened.extend((client, server))
            for one in ((client, server, recorder.sent), (server, client, recorder.received)):
                threading.Thread(target=pump, args=one, daemon=True).start()

    opened: list[socket.socket] = [listener]
    threading.Thread(target=accept, daemon=True).start()
    try:
        yield recorder
    finally:
        for one in opened:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
