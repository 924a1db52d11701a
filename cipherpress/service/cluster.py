"""An engine whose workers are replicas on a Ray cluster: one deployment per bundle, called without Ray's HTTP proxy.

Requests come in through this project's own server, which checks them as ever. So a large body is never in the memory of
a proxy of Ray's. It goes from here to a replica through Ray's object store, and so does an evaluation key, which a
replica fetches once and keeps. Requests are routed by key: a client's next request goes to a replica that has its key.
A request whose replica died is given to another one, once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path
from time import monotonic
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError

from cipherpress.service.computing import ABOUT_KEY
from cipherpress.service.logs import log
from cipherpress.service.messages import Message
from cipherpress.service.queueing import MOST_TRIES, LateError, QueueFullError, Work
from cipherpress.service.replica import Replica
from cipherpress.service.settings import ServiceSettings
from cipherpress.service.workers import WorkerDiedError
from compress.errors import ServiceError

#: Requests that a replica has at a time: one that computes, and one that is there when it is done.
ONGOING = 2
#: Keys whose bytes stay in Ray's object store for replicas that lack them.
STORED_KEYS = 64
#: Names of this project's applications on the cluster begin so.
PREFIX = "cipherpress-"


class Cluster:
    """The engine. All methods belong to one event loop."""

    def __init__(self, settings: ServiceSettings, address: str | None, most_workers: int) -> None:
        """address: of the cluster's head, or None for a cluster of this machine alone. most_workers: replicas per
        bundle under load; without load there are `settings.workers`."""
        self._settings, self._address = settings, address
        self._most_workers = max(most_workers, settings.workers)
        self._handles: dict[str, Any] = {}
        self._keys: OrderedDict[str, Any] = OrderedDict()
        self._running = 0
        self._stopping = False

    @property
    def full(self) -> bool:
        replicas = self._most_workers * max(len(self._handles), 1)
        return self._stopping or self._running >= replicas + self._settings.limits.queue

    @property
    def ready(self) -> bool:
        return bool(self._handles) and not self._stopping

    async def start(self) -> None:
        """Deploy all bundles and wait until their replicas are there.

        Raises: ServiceError for a cluster that cannot be reached or has too few free cores, or replicas that do not
        start.
        """
        try:
            await asyncio.to_thread(self._deploy)
        except ServiceError:
            await asyncio.to_thread(self._remove)
            raise
        except (RayError, RuntimeError, ConnectionError) as error:
            raise ServiceError(f"engine: Ray does not run the bundles ({error}); see the cluster's logs") from error

    async def stop(self, drain_s: float) -> None:
        """Take no more work; let what was accepted finish, for so many seconds; remove the deployments."""
        self._stopping = True
        ends = monotonic() + drain_s
        while self._running and monotonic() < ends:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(self._remove)

    async def run(self, work: Work) -> Message:
        """The answer to this work.

        Raises: QueueFullError at once; LateError; WorkerDiedError after two replicas died with it.
        """
        if self.full:
            raise QueueFullError
        self._running += 1
        try:
            async with asyncio.timeout(self._settings.limits.request_s):
                return await self._answered(work)
        except TimeoutError as error:
            raise LateError from error
        except BackPressureError as error:
            raise QueueFullError from error
        finally:
            self._running -= 1

    async def _answered(self, work: Work) -> Message:
        """Raises: WorkerDiedError."""
        fields = {name: value for name, value in work.fields.items() if name not in ("request_file", "reply_file")}
        handle, key, body = self._handles[fields["model"]], None, work.body
        if "key_file" in fields:
            try:
                key = (await asyncio.to_thread(self._key, Path(fields["key_file"])),)
            except OSError as error:  # it expired just now, or the disk is damaged: the client sends it again
                return {"error": "KeyFileError", "message": str(error), "about": ABOUT_KEY}, b""
        if work.key is not None:
            handle = handle.options(multiplexed_model_id=work.key[1])
        if "request_file" in work.fields:
            body = await asyncio.to_thread(_start_of, work.fields["request_file"], work.fields["request_bytes"])
        for number in range(1, MOST_TRIES + 1):
            response = handle.answer.remote(fields, body, key)
            try:
                answer, reply = await response
                break
            except RayActorError as error:
                log("replica died", level=30, model=fields["model"], tries=number)
                if number == MOST_TRIES:
                    raise WorkerDiedError("a replica died") from error
            except asyncio.CancelledError:
                response.cancel()
                raise
        if "reply_file" in work.fields and "error" not in answer:
            await asyncio.to_thread(Path(work.fields["reply_file"]).write_bytes, reply)
            reply = b""
        return answer, reply

    def _key(self, file: Path) -> Any:
        """The reference of a key's bytes in the object store, by the hash in its file's name.

        Raises: OSError.
        """
        name = file.name
        if name not in self._keys:
            self._keys[name] = ray.put(file.read_bytes())
            while len(self._keys) > STORED_KEYS:
                self._keys.popitem(last=False)
        self._keys.move_to_end(name)
        return self._keys[name]

    def _deploy(self) -> None:
        if not ray.is_initialized():
            ray.init(address=self._address, log_to_driver=False, include_dashboard=False)
        settings = self._settings
        wanted, free = settings.workers * settings.threads * len(settings.bundles), ray.available_resources()
        if free.get("CPU", 0) < wanted:
            raise ServiceError(
                f"engine: the cluster has {free.get('CPU', 0):g} free cores, {len(settings.bundles)} bundles with "
                f"{settings.workers} replicas take {wanted}; add nodes, or ask for fewer workers"
            )
        serve.start(proxy_location="Disabled")
        scale: dict[str, Any] = {
            "min_replicas": settings.workers,
            "max_replicas": self._most_workers,
            "target_ongoing_requests": 1,
        }
        for name, folder in settings.bundles.items():
            files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            deployment: Any = serve.deployment(
                Replica,
                name="bundle",
                max_ongoing_requests=ONGOING,
                max_queued_requests=settings.limits.queue,
                autoscaling_config=scale,
                ray_actor_options={"num_cpus": settings.threads},
            )
            application = deployment.bind(name, files, settings.threads, settings.limits.key_cache_bytes)
            self._handles[name] = serve.run(application, name=f"{PREFIX}{name}", route_prefix=None)

    def _remove(self) -> None:
        for name in self._handles:
            serve.delete(f"{PREFIX}{name}")
        ray.shutdown()


def _start_of(file: str, size_bytes: int) -> bytes:
    with open(file, "rb") as opened:
        return opened.read(size_bytes)
