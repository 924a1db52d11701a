"""Connections of the server: HTTP that is parsed by llhttp, within limits of time and size.

uvicorn's own protocol has no limit for the head of a request, and stops reading a body at every 64 KiB that the
application has not taken, so that a large body is passed on in many small pieces.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cipherpress.service.settings import ServiceLimits

#: The largest head of a request, and the most that may arrive of anything else that is neither head nor body.
HEAD_BYTES = 32 * 1024
#: Bytes of a body that are read before the application takes them, and how long they are collected for it.
READ_AHEAD_BYTES, COLLECT_S = 512 * 1024, 0.003


def connection_class(limits: ServiceLimits) -> type[HttpToolsProtocol]:
    """Connections that end where no request starts in time, however slowly its bytes arrive."""

    class Connection(HttpToolsProtocol):
        _watching: Any = None
        _unparsed_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch(None)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._watching is not None:
                self._watching.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._unparsed_bytes += len(data)
            super().data_received(data)
            if self._unparsed_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(f"The head of a request may have {HEAD_BYTES} bytes.")

        def on_headers_complete(self) -> None:
            self._unparsed_bytes = 0
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self._unparsed_bytes = 0
            if self.cycle.response_complete:
                return
            if not self.cycle.body:  # the application is told of a few large pieces, and of the last one at once
                self.loop.call_later(COLLECT_S, self.cycle.message_event.set)
            self.cycle.body += body
            if len(self.cycle.body) > READ_AHEAD_BYTES:
                self.flow.pause_reading()
                self.cycle.message_event.set()

        def on_message_complete(self) -> None:
            self._unparsed_bytes = 0
            super().on_message_complete()

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

            self._watching = self.loop.call_later(max(limits.idle_s, 0.1), look)

    return Connection
