"""What a client does, as steps that a generator asks for: calls, pauses, computations.

The generator knows nothing of sockets and threads. One function performs its steps for a synchronous client, another
one for an asynchronous client, so nothing of what is said to a server is written twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from compress.errors import ServiceError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Call:
    """A request to the server. most_bytes: of its answer, which is not read further."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | memoryview = field(default=b"", repr=False)
    most_bytes: int = 2**20


@dataclass(frozen=True)
class Answer:
    """The server's answer. headers: their names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Pause:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Compute:
    """Work that takes its time: an asynchronous client has it done in a thread."""

    work: Callable[[], Any]


class LostError(Exception):
    """No answer came: the server cannot be reached, or the connection broke. Thrown into the generator."""


Step = Call | Pause | Compute
#: A generator of steps. It is sent an Answer for a Call, and the result of a Compute.
Steps = Generator[Step, Any, Result]


def perform(steps: Steps[Result], http: httpx.Client) -> Result:
    """Perform all steps; what the generator returns."""
    reply: Any = None
    lost: LostError | None = None
    while True:
        try:
            step = steps.throw(lost) if lost is not None else steps.send(reply)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        reply, lost = None, None
        if isinstance(step, Pause):
            time.sleep(step.seconds)
        elif isinstance(step, Compute):
            reply = step.work()
        else:
            try:
                reply = _call(http, step)
            except httpx.TransportError as error:
                lost = LostError(str(error) or type(error).__name__)


async def perform_async(steps: Steps[Result], http: httpx.AsyncClient) -> Result:
    """`perform` for an asynchronous client."""
    reply: Any = None
    lost: LostError | None = None
    while True:
        try:
            step = steps.throw(lost) if lost is not None else steps.send(reply)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        reply, lost = None, None
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Compute):
            reply = await asyncio.to_thread(step.work)
        else:
            try:
                reply = await _call_async(http, step)
            except httpx.TransportError as error:
                lost = LostError(str(error) or type(error).__name__)


def _call(http: httpx.Client, call: Call) -> Answer:
    with http.stream(call.method, call.path, headers=dict(call.headers), content=bytes(call.content)) as response:
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            _check_size(call, content)
        return _answer(response, content)


async def _call_async(http: httpx.AsyncClient, call: Call) -> Answer:
    arguments: dict[str, Any] = {"headers": dict(call.headers), "content": bytes(call.content)}
    async with http.stream(call.method, call.path, **arguments) as response:
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            _check_size(call, content)
        return _answer(response, content)


def _answer(response: httpx.Response, content: bytearray) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, bytes(content))


def _check_size(call: Call, content: bytearray) -> None:
    if len(content) > call.most_bytes:
        raise ServiceError(f"{call.path}: the server's answer is larger than {call.most_bytes:,} bytes; it is not read")
