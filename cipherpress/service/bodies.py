"""Bodies of requests as they arrive: at most so many bytes, and not too slowly. Nothing is read ahead of a check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

from starlette.requests import Request

from cipherpress.service.refusals import ClientGoneError, RefusedError, too_large
from cipherpress.service.settings import ServiceLimits


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
        self.read_bytes = 0

    async def start(self, size_bytes: int) -> bytes:
        """The first bytes, fewer where the body is shorter. `pieces` gives them again.

        Raises: as `pieces`.
        """
        kept = bytearray()
        while len(kept) < size_bytes and self._more:
            kept += await self._piece()
        self._kept = bytes(kept)
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

    async def _piece(self) -> bytes:
        limits = self._limits
        left_s = limits.idle_s + self.read_bytes / limits.least_bytes_s - (monotonic() - self._started)
        try:
            async with asyncio.timeout(min(max(left_s, 0.0), limits.idle_s)):
                message = await self._request.receive()
        except TimeoutError as error:
            text = f"{self._what}: its bytes arrive too slowly; at least {limits.least_bytes_s:,.0f} a second"
            raise RefusedError(408, "SlowError", text, close=True) from error
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        piece: bytes = message.get("body", b"")
        self._more = message.get("more_body", False)
        self.read_bytes += len(piece)
        if self.read_bytes > self._most_bytes:
            raise too_large(self._what, self._most_bytes)
        return piece


async def gone(request: Request) -> None:
    """Returns when the client of a request whose body was read closes its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
