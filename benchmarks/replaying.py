"""A client that sends requests which were encrypted beforehand, over one connection, and compares every reply.

It does as little else as it can, since it shares the machine's cores with the server that it measures: no library of
HTTP, no encryption, no decryption. Replies are deterministic, so a right one equals the expected one bit for bit.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any

HEAD_END = b"\r\n\r\n"
PATIENCE_S = 120.0
#: Requests that are larger are sent from their files.
LARGE_BYTES = 256 * 1024


@dataclass(frozen=True)
class Recorded:
    """Requests of one model and the replies to them, as files. path: where they are sent."""

    name: str
    path: str
    requests: tuple[Path, ...]
    replies: tuple[Path, ...]


@dataclass(frozen=True)
class Answer:
    """status: of HTTP, 0 where the connection broke. retry_after_s: what the server asks for, where it does."""

    status: int
    body: bytes
    retry_after_s: float | None = None


@dataclass
class Asked:
    """What became of requests. took_ms: of right answers, by model. outcomes: counts by model and what came."""

    took_ms: dict[str, list[float]] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)


class Connected:
    """One connection to a server, which is opened again when it has ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._buffer = bytearray(2**16)

    def ask(self, path: str, body: bytes | BufferedReader) -> Answer:
        """The answer to a POST request. body: also an open file, which the kernel sends without a copy."""
        size_bytes = len(body) if isinstance(body, bytes) else os.fstat(body.fileno()).st_size
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size_bytes}\r\n\r\n"
            if isinstance(body, bytes):
                self._send(head.encode(), body)
            else:
                self._socket.sendall(head.encode(), socket.MSG_MORE)
                self._socket.sendfile(body, 0, size_bytes)
            return self._received()
        except OSError:
            self.close()
            return Answer(0, b"")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _send(self, head: bytes, body: bytes) -> None:
        assert self._socket is not None
        sent = self._socket.sendmsg([head, body]) - len(head)
        assert sent >= 0, "the head fits the socket's buffer"
        self._socket.sendall(memoryview(body)[sent:])

    def _received(self) -> Answer:
        filled = end = 0
        while not end:
            filled += self._more(filled)
            found = self._buffer.find(HEAD_END, 0, filled)
            end = found + len(HEAD_END) if found >= 0 else 0
        first, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        whole = end + int(headers.get("content-length", "0"))
        if whole > len(self._buffer):
            self._buffer.extend(bytes(whole - len(self._buffer)))
        while filled < whole:
            filled += self._more(filled)
        if headers.get("connection") == "close":
            self.close()
        stated = headers.get("retry-after")
        body = bytes(memoryview(self._buffer)[end:whole])
        return Answer(int(first.split()[1]), body, float(stated) if stated else None)

    def _more(self, filled: int) -> int:
        assert self._socket is not None
        if filled == len(self._buffer):
            self._buffer.extend(bytes(filled))
        count = self._socket.recv_into(memoryview(self._buffer)[filled:])
        if count == 0:
            raise ConnectionResetError("the server closed the connection")
        return count


def replay(port: int, models: Sequence[Recorded], first: int, seconds: float, pipe: Connection) -> None:
    """A client's process: says that it is ready, waits for a word, asks for so many seconds, sends what it found.

    first: number of the first request; clients begin at different models.
    """
    loaded = [
        (one, [_body(path) for path in one.requests], [path.read_bytes() for path in one.replies]) for one in models
    ]
    connected, asked = Connected(port), Asked({one.name: [] for one in models})
    pipe.send("ready")
    pipe.recv()
    started, number = process_time(), first
    ends = perf_counter() + seconds
    while perf_counter() < ends:
        one, requests, replies = loaded[number % len(loaded)]
        which = number // len(loaded) % len(requests)
        _ask(connected, one, requests[which], replies[which], asked)
        number += 1
    connected.close()
    for body in (body for _, requests, _ in loaded for body in requests if isinstance(body, BufferedReader)):
        body.close()
    pipe.send({"took_ms": asked.took_ms, "outcomes": dict(asked.outcomes), "cpu_s": process_time() - started})


def _body(path: Path) -> bytes | BufferedReader:
    return path.open("rb") if path.stat().st_size > LARGE_BYTES else path.read_bytes()


def _ask(connected: Connected, one: Recorded, request: bytes | BufferedReader, reply: bytes, asked: Asked) -> None:
    """One request; a queue that is full is no failure, and is asked again after the time that the server states."""
    start = perf_counter()
    answer = connected.ask(one.path, request)
    if answer.status == 200:
        right = answer.body == reply
        asked.outcomes[one.name, "right" if right else "wrong"] += 1
        asked.took_ms[one.name].append(1e3 * (perf_counter() - start))
    elif answer.status == 429 and answer.retry_after_s is not None:
        asked.outcomes[one.name, "429 with Retry-After"] += 1
        sleep(answer.retry_after_s)
    else:
        asked.outcomes[one.name, f"status {answer.status}"] += 1


def outcome_rows(outcomes: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
    """Counts as JSON has them."""
    return [{"network": name, "outcome": what, "count": count} for (name, what), count in sorted(outcomes.items())]
