"""Connections of the server: HTTP that is parsed by llhttp, within limits of time and size.

uvicorn's own protocol has no limit for the head of a request, and stops reading a body at every 64 KiB that the
application has not taken, so that a large body is passed on in many small pieces. Here the application may also have
the rest of a body of a stated length read into a buffer of its own, past the parser: it is copied once, by the kernel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cipherpress.service.settings import ServiceLimits

#: The largest head of a request, and the most that may arrive of anything else that is neither head nor body.
HEAD_BYTES = 32 * 1024
#: Bytes of a body that are read before the application takes them, and how long they are collected for it.
READ_AHEAD_BYTES, COLLECT_S = 512 * 1024, 0.003
#: Bytes that are read at once. All connections share the buffer: what it holds is parsed before anything else is read.
READ_BYTES = 128 * 1024
#: The most bytes of an answer that wait for those that follow.
HELD_BYTES = 4096
#: How long what a client still sends after an answer is dropped, before its connection is closed.
LINGER_S = 2.0
#: Where the application finds the connection of a request: `connection` of this extension of its scope.
EXTENSION = "cipherpress.connection"


class Filling:
    """A buffer of the application that the bytes of a body are read into.

    filled: bytes so far. last_s: when the last of them arrived, by the clock of the loop. done: set when the buffer is
    full, the body has ended, or the client has gone.
    """

    def __init__(self, buffer: memoryview, now_s: float) -> None:
        self.buffer, self.filled, self.last_s, self.done = buffer, 0, now_s, asyncio.Event()


class JoinedWrites:
    """A connection's transport, as one answer sees it: a few bytes wait for those that follow them at once.

    So the head of an answer leaves together with its body, and the client is woken up once.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, end: Callable[[], object]
    ) -> None:
        """end: called when everything is written and the connection is to be closed."""
        self._transport, self._loop, self._end, self._held = transport, loop, end, b""

    def write(self, content: bytes) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.writelines((held, content))
        elif len(content) <= HELD_BYTES:
            self._held = content
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(content)

    def close(self) -> None:
        self._flush()
        self._end()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)


class Connection(asyncio.BufferedProtocol):
    """A connection as the event loop sees it: it asks for a buffer before it reads."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def connection_made(self, transport: Any) -> None:
        self._http.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._http.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._http.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._http.arrived(nbytes)

    def eof_received(self) -> None:
        self._http.eof_received()

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()


class Http(HttpToolsProtocol):
    """What is said on a connection. It ends where no request starts in time, however slowly its bytes arrive."""

    def __init__(self, limits: ServiceLimits, shared: memoryview, **uvicorn: Any) -> None:
        """shared: the buffer that is read into where the application has given none."""
        super().__init__(**uvicorn)
        self._limits, self._shared = limits, shared
        self._watching: Any = None
        self._unparsed_bytes = 0
        #: Bytes of the body that have not arrived, None where no length is stated; whether they pass by the parser.
        self._left_bytes: int | None = None
        self._past_parser = False
        self._filling: Filling | None = None
        self._when_lost: Callable[[], object] | None = None
        #: Closes the connection at last, where bytes that nobody wants are still arriving.
        self._lingering: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._filling is not None:
            self._filling.done.set()
        if self._when_lost is not None:
            self._when_lost()
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)

    def buffer(self) -> memoryview:
        """Where the next bytes are to be read into."""
        filling = self._filling
        buffer = self._shared if filling is None else filling.buffer[filling.filled :]
        return buffer[: self._left_bytes] if self._past_parser else buffer

    def arrived(self, count: int) -> None:
        """So many bytes were read into the buffer."""
        if self._lingering is not None:
            return
        if not self._past_parser:
            self.data_received(self._shared[:count])
            return
        assert self._left_bytes is not None
        self._left_bytes -= count
        filling = self._filling  # none where the application has refused the rest, which is dropped
        if filling is not None:
            filling.filled += count
            filling.last_s = self.loop.time()
            if filling.filled == len(filling.buffer) or not self._left_bytes:
                self._filling = None
                filling.done.set()
                self.flow.pause_reading()
        if not self._left_bytes:  # the parser has not seen the end of the body; what follows is a new request
            self._past_parser, self.parser = False, httptools.HttpRequestParser(self)
            self.on_message_complete()

    def data_received(self, data: Any) -> None:
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._unparsed_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of a request may have {HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"connection": self}}

    def on_headers_complete(self) -> None:
        self._unparsed_bytes = 0
        stated = [value for name, value in self.headers if name == b"content-length"]
        self._left_bytes = int(stated[0]) if len(stated) == 1 and stated[0].isdigit() else None
        super().on_headers_complete()
        self.cycle.transport = JoinedWrites(self.transport, self.loop, self._end)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        if self._left_bytes is not None:
            self._left_bytes -= len(body)
        if self.cycle.response_complete:
            return
        first = not self.cycle.body
        self.cycle.body += body
        if self._left_bytes == 0:
            return  # the application is told at once, that this is the end
        # Of a body with much to come the rest waits: the application may have a buffer for it.
        if len(self.cycle.body) > READ_AHEAD_BYTES or (self._left_bytes or 0) > READ_AHEAD_BYTES:
            self.flow.pause_reading()
            self.cycle.message_event.set()
        elif first:  # the application is told of a few large pieces
            self.loop.call_later(COLLECT_S, self.cycle.message_event.set)

    def on_message_complete(self) -> None:
        self._unparsed_bytes = 0
        super().on_message_complete()

    def fill(self, scope: Any, buffer: memoryview) -> Filling | None:
        """Have the next bytes of this request's body read into a buffer, as soon as they arrive.

        None where they are to be received as always: while the parser has passed on some, and where no length is
        stated.
        """
        cycle = self.cycle
        if cycle.scope is not scope or cycle.body or cycle.disconnected or not self._left_bytes:
            return None
        self._past_parser, self._filling = True, Filling(buffer, self.loop.time())
        self.flow.resume_reading()
        return self._filling

    def when_lost(self, call: Callable[[], object] | None) -> None:
        """Call this when the client closes the connection, or has closed it; None: no more."""
        self._when_lost = call
        if call is not None and self.transport.is_closing():
            call()
        elif call is not None:
            self.flow.resume_reading()  # else its end is not noticed

    def _end(self) -> None:
        """Close the connection after an answer.

        Where the body was refused and the client still sends it, what arrives is dropped for a while: the kernel would
        reset a connection that is closed with unread bytes, and the client might lose the answer.
        """
        if not self.cycle.more_body or self.transport.is_closing():
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._lingering = self.loop.call_later(LINGER_S, self.transport.close)
        self.flow.resume_reading()

    def leave(self) -> None:
        """Read into the application's buffer no more."""
        self._filling = None

    def _watch(self, last: Any) -> None:
        """last: the request that had ended, or None, when this was called before.

        A connection that waits between two requests is left to uvicorn, until bytes of a head arrive.
        """

        def look() -> None:
            running = self.cycle is not None and not self.cycle.response_complete
            begun = self.cycle is None or self._unparsed_bytes > 0
            if not running and begun and self.cycle is last:
                self.transport.abort()
            else:
                self._watch(None if running else self.cycle)

        self._watching = self.loop.call_later(max(self._limits.idle_s, 0.1), look)


def connections(limits: ServiceLimits) -> Callable[..., Connection]:
    """What uvicorn makes a connection with."""
    shared = memoryview(bytearray(READ_BYTES))
    return lambda **uvicorn: Connection(Http(limits, shared, **uvicorn))
