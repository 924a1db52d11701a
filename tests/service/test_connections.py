"""Connections as raw bytes: heads without an end, bodies in pieces, several requests on one connection."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks.process_use import rss_bytes
from cipherpress.service.connections import HEAD_BYTES
from tests.service.conftest import Party
from tests.service.running import Running, running
from tests.service.test_faults import INFER, infer, upload

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def hasty(bundles: Path) -> Iterator[Running]:
    """A server that waits for a second at most."""
    with running(bundles / "small", options=("--idle-seconds", "1")) as one:
        yield one


@contextmanager
def connected(server: Running) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port), timeout=60) as one:
        yield one


def received(one: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = bytearray()
    try:
        while piece := one.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return bytes(found)


def alive(one: socket.socket) -> bool:
    """Whether the server says that it lives. Head and body may come in pieces of their own."""
    one.sendall(LIVE)
    found = b""
    while not found.endswith(b'{"live":true}'):
        piece = one.recv(65536)
        if not piece:
            return False
        found += piece
    return True


@pytest.mark.parametrize(
    "start",
    [
        b"GET /v2/health/live HTTP/1.1\r\nX: ",
        b"GET /",
        b"POST /v2/models/small/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"POST /v2/models/small/infer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ",
    ],
    ids=["header", "path", "chunk extension", "trailer"],
)
def test_a_head_without_end_is_refused_in_flat_memory(hasty: Running, start: bytes) -> None:
    before, sent = rss_bytes(hasty.process.pid), 0
    with connected(hasty) as one:
        one.sendall(start)
        try:
            while sent < 200 * HEAD_BYTES:
                sent += one.send(b"y" * HEAD_BYTES)
        except (ConnectionResetError, BrokenPipeError):
            pass
        answer = received(one)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:100]
    assert rss_bytes(hasty.process.pid) - before < 20e6
    assert httpx.get(f"{hasty.url}/v2/health/ready").status_code == 200


def test_a_head_that_never_ends_is_dropped_and_a_connection_between_requests_is_not(hasty: Running) -> None:
    with connected(hasty) as waiting, connected(hasty) as second, connected(hasty) as silent:
        assert alive(waiting) and alive(second)
        second.sendall(LIVE[:20])
        assert received(silent) == b"" and received(second) == b""
        time.sleep(1.5)
        assert alive(waiting)


def test_requests_that_follow_at_once_are_answered_in_order(hasty: Running, party: Party) -> None:
    with httpx.Client(base_url=hasty.url, timeout=60) as http:
        upload(http, party)
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(party.request)}\r\n"
    with connected(hasty) as one:
        one.sendall(head.encode() + b"\r\n" + party.request + LIVE)
        one.sendall(head.encode() + b"Connection: close\r\n\r\n" + party.request)
        answer = received(one)
    first, second, third = answer.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert first.endswith(party.reply) and third.endswith(party.reply)
    assert json.loads(second.partition(b"\r\n\r\n")[2]) == {"live": True}


def test_a_body_in_chunks_and_small_pieces_is_the_same_request(hasty: Running, party: Party) -> None:
    with httpx.Client(base_url=hasty.url, timeout=60) as http:
        upload(http, party)
        pieces = [party.request[start : start + 4999] for start in range(0, len(party.request), 4999)]
        assert http.post(INFER, content=iter(pieces)).content == party.reply
        assert infer(http, party) == party.reply
