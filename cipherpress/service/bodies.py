"""Bodies of requests as they arrive: at most so many bytes, and not too slowly. Nothing is read ahead of a check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from starlette.requests import Request

from cipherpress.service.connections import EXTENSION, Filling
from cipherpress.service.refusals import ClientGoneError, RefusedError, too_large
from cipherpress.service.settings import ServiceLimits
from cipherpress.service.spool import Room

#: Of a buffer that bodies pass through under TLS.
BETWEEN_BYTES = 2**20


def declared_bytes(request: Request) -> int | None:
    """The length that a request states for its body; None where it states none.

    Raises: RefusedError.
    """
    stated = request.headers.get("content-length")
    if stated is None:
        return None
    if not (stated.isascii() and stated.isdecimal()):
        raise RefusedError(400, "FormatError", "header 'Content-Length' is no number of bytes", close=True)
    return int(stated)


class Body:
    """The body of one request. read_bytes: of it that have been read."""

    def __init__(self, request: Request, most_bytes: int, what: str, limits: ServiceLimits) -> None:
        """Raises: RefusedError for a body that states to be larger, before anything of it is read."""
        self._request, self._most_bytes, self._what, self._limits = request, most_bytes, what, limits
        stated = declared_bytes(request)
        if stated is not None and stated > most_bytes:
            raise too_large(what, most_bytes)
        self._started, self._more, self._kept = monotonic(), True, b""
        self._stated = stated
        #: Its bytes, at most.
        self.most_bytes = most_bytes if stated is None else stated
        self._connection = _connection(request)
        self.read_bytes = 0

    async def start(self, size_bytes: int) -> bytes:
        """The first bytes, fewer where the body is shorter. `pieces` gives them again.

        Raises: as `pieces`.
        """
        while len(self._kept) < size_bytes and self._more:
            self._kept += await self._piece()  # as a rule the first piece, which is not copied
        return self._kept[:size_bytes]

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, piece after piece as it arrives.

        Raises: ClientGoneError; RefusedError for a body that is too large, or too slow.
        """
        if self._kept:
            kept, self._kept = self._kept, b""
            yield kept
        while self._more:
            piece = await self._piece()
            if piece:
                yield piece

    async def whole(self) -> bytes:
        """All of the body.

        Raises: as `pieces`.
        """
        return b"".join([piece async for piece in self.pieces()])

    async def into(self, room: Room) -> int:
        """Read the body into a file; its bytes.

        What the connection reads for the application goes straight into the file's pages. Under TLS the program would
        write there, which only the kernel may (`Room`), so it goes through a buffer.
        Raises: as `pieces`; OSError.
        """
        scope, filled = self._request.scope, 0
        between = memoryview(bytearray(BETWEEN_BYTES)) if scope["scheme"] == "https" else None
        while self._kept or self._more:
            filling = None
            if self._connection is not None and not self._kept:
                filling = self._connection.fill(scope, room.memory[filled:] if between is None else between)
            if filling is None:
                piece = memoryview(self._kept or await self._piece())
                self._kept = b""
                room.write(piece, filled)
                filled += len(piece)
            else:
                count = await self._filled(self._connection, filling)
                if between is not None:
                    room.write(between[:count], filled)
                filled += count
        return filled

    async def _filled(self, connection: Any, filling: Filling) -> int:
        """Bytes that were read into a buffer: as many as it holds, or all that the body has."""
        clock, limits = asyncio.get_running_loop().time, self._limits
        try:
            while not filling.done.is_set():
                left_s = min(self._left_s(filling.filled), limits.idle_s - (clock() - filling.last_s))
                if left_s <= 0:
                    raise self._too_slow()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await filling.done.wait()
        finally:
            connection.leave()
            self.read_bytes += filling.filled
        self._more = self.read_bytes != self._stated
        if self._more and filling.filled < len(filling.buffer):
            raise ClientGoneError
        return filling.filled

    async def _piece(self) -> bytes:
        try:
            async with asyncio.timeout(min(max(self._left_s(), 0.0), self._limits.idle_s)):
                message = await self._request.receive()
        except TimeoutError as error:
            raise self._too_slow() from error
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        piece: bytes = message.get("body", b"")
        self._more = message.get("more_body", False)
        self.read_bytes += len(piece)
        if self.read_bytes > self._most_bytes:
            raise too_large(self._what, self._most_bytes)
        return piece

    def _left_s(self, more_bytes: int = 0) -> float:
        """How long the next bytes may take, where so many more have arrived than were counted."""
        limits = self._limits
        arrived_bytes = self.read_bytes + more_bytes
        return limits.idle_s + arrived_bytes / limits.least_bytes_s - (monotonic() - self._started)

    def _too_slow(self) -> RefusedError:
        text = f"{self._what}: its bytes arrive too slowly; at least {self._limits.least_bytes_s:,.0f} a second"
        return RefusedError(408, "SlowError", text, close=True)


def when_gone(request: Request, call: Callable[[], object]) -> Callable[[], object]:
    """Call this when the client of a request whose body was read closes its connection. Returns what ends the watch."""
    connection = _connection(request)
    if connection is not None:
        connection.when_lost(call)
        return lambda: connection.when_lost(None)
    leaving = asyncio.ensure_future(_gone(request))
    leaving.add_done_callback(lambda _: call())
    return leaving.cancel


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _connection(request: Request) -> Any:
    """The connection of a request, None under another server of HTTP than this project's."""
    return request.scope.get("extensions", {}).get(EXTENSION, {}).get("connection")
