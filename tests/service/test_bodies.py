"""Large bodies that are read into the application's own buffers, and answers that leave in one piece."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import uvicorn
import uvloop
from starlette.requests import Request
from starlette.responses import Response

from cipherpress.service import connections as connections_module
from cipherpress.service.bodies import Body
from cipherpress.service.connections import HELD_BYTES, READ_AHEAD_BYTES, JoinedWrites, connections
from cipherpress.service.refusals import ClientGoneError, RefusedError
from cipherpress.service.settings import ServiceLimits
from cipherpress.service.spool import Spool
from tests.service.running import wait_until

LEFT_BYTES = 300_000
BODY = np.random.default_rng(0).bytes(3 * READ_AHEAD_BYTES + 12_345)


class Collecting:
    """An application that keeps what its bodies were, and how they ended. fillings: buffers that were filled past the
    parser. At the path /leaves it stops after one of LEFT_BYTES, at /cut the file gets no room on the disk."""

    def __init__(self, spool: Spool, scheme: str) -> None:
        self.spool, self.scheme = spool, scheme
        self.found: list[tuple[bytes, str]] = []
        self.fillings = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["scheme"] = self.scheme
        request, content, end = Request(scope, receive), b"", "ended"
        body = Body(request, 10**7, "body", ServiceLimits(idle_s=1.0))
        body._connection.fill = partial(self._counted, body._connection.fill)
        try:
            content = await body.start(64)
            if scope["path"] == "/refused":
                raise RefusedError(429, "BusyError", "it is not read", close=True)
            with self.spool.room(body.most_bytes) as room:
                if scope["path"] == "/cut":
                    os.truncate(room.path, 0)
                if scope["path"] == "/leaves":
                    filling = body._connection.fill(scope, memoryview(bytearray(LEFT_BYTES)))
                    content = body._kept + bytes(filling.buffer[: await body._filled(body._connection, filling)])
                else:
                    content = bytes(room.memory[: await body.into(room)])
        except (RefusedError, ClientGoneError) as error:
            end = type(error).__name__
        self.found.append((content, end))
        headers = {"Connection": "close"} if scope["path"] == "/refused" else None
        await Response(str(len(content)), headers=headers)(scope, receive, send)

    def _counted(self, fill: Any, *arguments: Any) -> Any:
        filling = fill(*arguments)
        self.fillings += filling is not None
        return filling


@pytest.fixture(scope="module", params=["http", "https"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Collecting, int]]:
    """(application, port) of a server in a thread, which reads bodies as it does with and without TLS."""
    spool = Spool(tmp_path_factory.mktemp("bodies") / "spool")
    app, listener = Collecting(spool, request.param), socket.create_server(("127.0.0.1", 0))
    http: Any = connections(ServiceLimits(idle_s=1.0))
    config = uvicorn.Config(app, http=http, ws="none", loop="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]

    def serve() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve(sockets=[listener]))

    thread = threading.Thread(target=serve)
    thread.start()
    yield app, listener.getsockname()[1]
    server.should_exit = True
    thread.join()


def head(path: str, size: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()


def answers(one: socket.socket, count: int) -> list[bytes]:
    """The bodies of so many answers."""
    found: list[bytes] = []
    with one.makefile("rb") as file:
        for _ in range(count):
            size = 0
            while line := file.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            found.append(file.read(size))
    return found


def test_a_large_body_arrives_whole_and_the_next_requests_after_it(served: tuple[Collecting, int]) -> None:
    app, port = served
    app.found.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(head("/", len(BODY)) + BODY + head("/", 5) + b"after" + head("/", len(BODY)) + BODY)
        assert answers(one, 3) == [b"%d" % len(BODY), b"5", b"%d" % len(BODY)]
    assert app.found == [(BODY, "ended"), (b"after", "ended"), (BODY, "ended")]
    assert app.fillings > 0, "most of it was read past the parser"


def test_what_the_application_leaves_of_a_body_is_dropped(served: tuple[Collecting, int]) -> None:
    app, port = served
    app.found.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(head("/leaves", len(BODY)) + BODY + head("/", 5) + b"after")
        left, after = answers(one, 2)
    assert after == b"5" and app.found == [(BODY[: int(left)], "ended"), (b"after", "ended")]
    assert LEFT_BYTES < int(left) < len(BODY)


@pytest.mark.parametrize("sent", [100_000, len(BODY) - 1])
@pytest.mark.parametrize("leaves", [False, True])
def test_a_client_that_falls_silent_or_leaves_is_given_up(
    served: tuple[Collecting, int], sent: int, leaves: bool
) -> None:
    app, port = served
    app.found.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(head("/", len(BODY)) + BODY[:sent])
        if leaves:
            one.shutdown(socket.SHUT_WR)
        wait_until(lambda: app.found, what="the body is given up")
    assert app.found[0][1] == ("ClientGoneError" if leaves else "RefusedError")
    assert BODY.startswith(app.found[0][0])


def test_a_disk_that_is_full_in_mid_body_ends_the_connection_alone(served: tuple[Collecting, int]) -> None:
    app, port = served
    app.found.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(head("/cut", len(BODY)) + BODY)
        wait_until(lambda: app.found, what="the body is given up")
    assert app.found[0] == ((BODY[:64], "ClientGoneError") if app.scheme == "http" else (BODY, "ended"))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(head("/", len(BODY)) + BODY)
        assert answers(one, 1) == [b"%d" % len(BODY)]
    assert app.found[-1] == (BODY, "ended")


def test_who_sends_a_body_that_is_refused_gets_the_answer(served: tuple[Collecting, int]) -> None:
    app, port = served
    app.found.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(head("/refused", 5 * len(BODY)) + BODY)
        wait_until(lambda: app.found, what="the body is refused")
        for _ in range(4):
            one.sendall(BODY)  # more than the buffers of a connection hold
        assert answers(one, 1) == [b"64"]
        assert one.recv(1) == b"", "no other answer"


def test_a_client_that_goes_on_with_a_refused_body_is_left(
    served: tuple[Collecting, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, port = served
    app.found.clear()
    monkeypatch.setattr(connections_module, "LINGER_S", 0.1)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as one,
        pytest.raises(ConnectionError, match="Broken pipe|reset"),
    ):
        one.sendall(head("/refused", 10**9))
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            one.sendall(BODY[:1000])
            time.sleep(0.01)


class Written:
    """A transport that keeps what it was given, one entry per call."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, content: bytes) -> None:
        self.calls.append(content)

    def writelines(self, parts: Any) -> None:
        self.calls.append(b"".join(parts))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def test_the_head_of_an_answer_leaves_with_its_body() -> None:
    transport: Any = Written()

    async def answer() -> None:
        joined = JoinedWrites(transport, asyncio.get_running_loop(), transport.close)
        joined.write(b"head ")
        joined.write(b"body")
        assert transport.calls == [b"head body"]
        joined.write(b"x" * (HELD_BYTES + 1))
        joined.write(b"alone")
        assert [len(call) for call in transport.calls] == [9, HELD_BYTES + 1]
        await asyncio.sleep(0)
        assert transport.calls[2:] == [b"alone"], "nothing waits for longer than a turn of the loop"
        joined.write(b"last")
        joined.close()
        assert transport.calls[3:] == [b"last"] and joined.is_closing()
        await asyncio.sleep(0)
        assert len(transport.calls) == 4, "nothing is written twice"

    asyncio.run(answer())
