"""A server from its start to its end: the socket, uvicorn, signals."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
import uvloop

from cipherpress.service.app import make_app
from cipherpress.service.connections import connections
from cipherpress.service.queueing import Engine
from cipherpress.service.service import Service
from cipherpress.service.settings import ServiceSettings
from compress.errors import ConfigError

#: How long a connection may be idle between two requests, in seconds.
KEEP_ALIVE_S = 30


def serve(settings: ServiceSettings, on_ready: Callable[[str], None], engine: Engine | None = None) -> None:
    """Serve until SIGTERM or SIGINT; accepted requests are finished then.

    on_ready: called with the URL when requests are taken. engine: what computes; None for worker processes of this
    machine.
    Raises: ConfigError for an address that cannot be had; CipherpressError, OSError as `Service` does.
    """
    service = Service(settings, engine)
    try:
        listener = _listener(settings)
        for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn sends itself the signal again when it is done
            signal.signal(number, lambda *_: None)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(service, listener, on_ready))
    finally:
        service.close()


async def _serve(service: Service, listener: socket.socket, on_ready: Callable[[str], None]) -> None:
    server = uvicorn.Server(_config(service.settings, make_app(service)))
    await service.start()
    gc.freeze()  # what is there now stays, so collections need not look at it
    announcing = asyncio.create_task(_announce(server, service.settings, listener, on_ready))
    try:
        await server.serve(sockets=[listener])
    finally:
        announcing.cancel()
        await service.stop()


async def _announce(
    server: uvicorn.Server, settings: ServiceSettings, listener: socket.socket, on_ready: Callable[[str], None]
) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    on_ready(f"{'https' if settings.tls_cert else 'http'}://{shown}:{port}")


def _config(settings: ServiceSettings, app: Any) -> uvicorn.Config:
    limits = settings.limits
    return uvicorn.Config(
        app,
        http=connections(limits),  # type: ignore[arg-type]
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(limits.drain_s),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )


def _listener(settings: ServiceSettings) -> socket.socket:
    """Raises: ConfigError."""
    try:
        family, kind, protocol, *_ = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        raise ConfigError("host and port", address, f"an address of this machine that is free ({error})") from error
    return listener
