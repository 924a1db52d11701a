"""Large bodies that are read into the application's own buffers, and answers that leave in one piece."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import uvicorn
import uvloop
from starlette.requests import Request
from starlette.responses import Response

from cipherpress.service.bodies import Body
from cipherpress.service.connections import HELD_BYTES, READ_AHEAD_BYTES, JoinedWrites, connections
from cipherpress.service.refusals import ClientGoneError, RefusedError
from cipherpress.service.settings import ServiceLimits
from tests.service.running import wait_until

BLOCK_BYTES = 300_000
BODY = np.random.default_rng(0).bytes(3 * READ_AHEAD_BYTES + 12_345)


class Collecting:
    """An application that keeps what its bodies were, and how they ended. past_parser: blocks that the parser has not
    seen to their end. At the path /leaves it stops after the first block."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, str]] = []
        self.past_parser = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request, blocks, end = Request(scope, receive), bytearray(), "ended"
        body = Body(request, 10**9, "body", ServiceLimits(idle_s=1.0))
        try:
            await body.start(64)
            async for block in body.blocks(BLOCK_BYTES):
                blocks += block
                self.past_parser += body._connection._past_parser
                if scope["path"] == "/leaves":
                    break
        except (RefusedError, ClientGoneError) as error:
            end = type(error).__name__
        self.found.append((bytes(blocks), end))
        await Response(str(len(blocks)))(scope, receive, send)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Collecting, int]]:
    """(application, port) of a server in a thread."""
    app, listener = Collecting(), socket.create_server(("127.0.0.1", 0))
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
    assert app.past_parser > 0, "blocks were read past the parser"


def test_what_the_application_leaves_of_a_body_is_dropped(served: tuple[Collecting, int]) -> None:
    app, port = served
    app.found.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(head("/leaves", len(BODY)) + BODY + head("/", 5) + b"after")
        assert answers(one, 2) == [b"%d" % BLOCK_BYTES, b"5"]
    assert app.found == [(BODY[:BLOCK_BYTES], "ended"), (b"after", "ended")]


@pytest.mark.parametrize("sent", [100_000, len(BODY) - 1])
def test_a_client_that_falls_silent_is_given_up(served: tuple[Collecting, int], sent: int) -> None:
    app, port = served
    app.found.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(head("/", len(BODY)) + BODY[:sent])
        wait_until(lambda: app.found, what="the body is given up")
    assert app.found[0][1] == "RefusedError" and BODY.startswith(app.found[0][0])


@pytest.mark.parametrize("sent", [100_000, len(BODY) - 1])
def test_a_client_that_leaves_is_noticed_at_once(served: tuple[Collecting, int], sent: int) -> None:
    app, port = served
    app.found.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(head("/", len(BODY)) + BODY[:sent])
    wait_until(lambda: app.found, what="the client's leaving is noticed")
    assert app.found[0][1] == "ClientGoneError"


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
        joined = JoinedWrites(transport, asyncio.get_running_loop())
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
