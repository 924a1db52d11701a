"""The state of one server, and what every route does first: whose request it is, and what it is about."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request

from cipherpress.service.keystore import KeyStore
from cipherpress.service.logs import log
from cipherpress.service.messages import Message
from cipherpress.service.metrics import Metrics
from cipherpress.service.offers import Offer, read_offers
from cipherpress.service.queueing import Engine, LateError, Queue, QueueFullError, Work
from cipherpress.service.refusals import RefusedError, busy, no_such
from cipherpress.service.settings import ServiceSettings
from cipherpress.service.spool import Spool
from cipherpress.service.tenants import METRICS_TENANT, read_tenants
from cipherpress.service.workers import WorkerDiedError

#: Seconds between two looks for keys that have expired.
SWEEP_S = 30.0
#: What a client that finds the queue full is told to wait, in seconds.
RETRY_S = 1
#: The folder of bodies and replies that are too large for memory, under the data folder.
SPOOL = "spool"


class Service:
    """One server: what it offers, who may use it, the keys it holds, and what computes for it."""

    def __init__(self, settings: ServiceSettings, engine: Engine | None = None) -> None:
        """engine: what computes; None for worker processes of this machine.

        Raises: ConfigError for a data folder that another server uses, and for a wrong token file; FormatError,
        InsecureParametersError for a bundle; OSError.
        """
        self.settings, self.limits = settings, settings.limits
        self.tenants = read_tenants(settings.token_file)
        self.offers = read_offers(settings.bundles, settings.limits.batch_blocks)
        self.metrics = Metrics()
        self.engine: Engine = engine or Queue(settings, self.metrics.restarts.inc)
        self._temporary = None if settings.data_dir else Path(tempfile.mkdtemp(prefix="cipherpress-"))
        folder = settings.data_dir or self._temporary
        assert folder is not None
        folder.mkdir(parents=True, exist_ok=True)
        self.store = KeyStore(folder, settings.limits)
        self.spool = Spool(folder / SPOOL)
        self.uploading: set[tuple[str, str]] = set()
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises: CipherpressError when bundles cannot be loaded."""
        await self.engine.start()
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Let accepted requests finish, then end all processes."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self.engine.stop(self.limits.drain_s)

    def close(self) -> None:
        """Let another server use the data folder."""
        self.store.close()
        self.spool.remove()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def tenant(self, request: Request) -> str:
        """Whose request it is.

        Raises: RefusedError for nobody's.
        """
        found = self.tenants.named(request.headers.get("authorization"))
        if found is None or found == METRICS_TENANT:
            message = "header 'Authorization': no token of this server; send 'Authorization: Bearer TOKEN'"
            raise RefusedError(401, "TokenError", message, headers={"WWW-Authenticate": "Bearer"}, close=True)
        return found

    def offer(self, request: Request) -> Offer:
        """The model that the path names.

        Raises: RefusedError.
        """
        found = self.offers.get(request.path_params["name"])
        if found is None:
            raise no_such("model")
        return found

    def offer_of(self, bundle_id: str) -> Offer | None:
        """The model of a bundle."""
        return next((one for one in self.offers.values() if one.spec.bundle_id == bundle_id), None)

    async def answered(self, work: Work) -> Message:
        """The engine's answer.

        Raises: RefusedError where there is none in time.
        """
        try:
            return await self.engine.run(work)
        except QueueFullError as error:
            raise busy(RETRY_S) from error
        except LateError as error:
            message = f"server: no answer within {self.limits.request_s:g} s"
            raise RefusedError(504, "LateError", message) from error
        except WorkerDiedError as error:
            raise RefusedError(500, "WorkerDiedError", "server: two workers died with this request") from error
        except asyncio.CancelledError as error:
            if asyncio.current_task() is not None and asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            raise RefusedError(503, "StoppingError", "server: it is stopping", close=True) from error

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                removed = await asyncio.to_thread(self.store.sweep)
            except OSError as error:
                log("sweep failed", level=30, reason=error.strerror)
            else:
                if removed:
                    log("keys expired", keys=removed)


def refused(answer: Mapping[str, Any]) -> RefusedError:
    """For a request that a worker refused. What went wrong inside the server is in its log alone."""
    if answer["about"] == "server":
        return RefusedError(500, "InternalError", "server: an internal error; its log says more")
    return RefusedError(400, answer["error"], answer["message"])
