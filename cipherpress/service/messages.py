"""Messages between the server's own processes: a JSON object and bytes, over a socket. Nothing is pickled."""

from __future__ import annotations

import json
import socket
import struct
from asyncio import StreamReader, StreamWriter
from typing import Any

#: Bytes of the JSON text, and of the body that follows it.
_HEAD = struct.Struct("<IQ")

Message = tuple[dict[str, Any], bytes]


def send(connection: socket.socket, fields: dict[str, Any], body: bytes = b"") -> None:
    """Send one message; waits until the socket has taken it."""
    start = _start(fields, body)
    sent = connection.sendmsg((start, body))  # at once, so that the other side wakes up once
    for part, before in ((start, 0), (body, len(start))):
        if sent < before + len(part):
            connection.sendall(memoryview(part)[max(sent - before, 0) :])


def receive(connection: socket.socket) -> Message:
    """The next message.

    Raises: EOFError when the other side has gone.
    """
    text_bytes, body_bytes = _HEAD.unpack(_exactly(connection, _HEAD.size))
    fields = json.loads(_exactly(connection, text_bytes))
    return fields, _exactly(connection, body_bytes)


def write_message(writer: StreamWriter, fields: dict[str, Any], body: bytes = b"") -> None:
    """`send` on a stream of asyncio; it does not wait until the socket has taken everything."""
    writer.writelines((_start(fields, body), body))


async def receive_async(reader: StreamReader) -> Message:
    """`receive` on a stream of asyncio.

    Raises: asyncio.IncompleteReadError (an EOFError) when the other side has gone.
    """
    text_bytes, body_bytes = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    content = await reader.readexactly(text_bytes + body_bytes)
    return json.loads(content[:text_bytes]), content[text_bytes:]


def _start(fields: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(fields).encode()
    return _HEAD.pack(len(text), len(body)) + text


def _exactly(connection: socket.socket, size_bytes: int) -> bytes:
    content = bytearray(size_bytes)
    view, filled = memoryview(content), 0
    while filled < size_bytes:
        count = connection.recv_into(view[filled:])
        if count == 0:
            raise EOFError("the other process has gone")
        filled += count
    return bytes(content)
