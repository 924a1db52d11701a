"""Requests on their way to workers: a queue with a limit, a deadline for each, and one more try when a worker dies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from cipherpress.service.messages import Message
from cipherpress.service.settings import ServiceSettings
from cipherpress.service.workers import Computing, Worker, WorkerDiedError
from compress.errors import CipherpressError, ServiceError

#: How long a worker may go on with a request that nobody waits for, before it is ended.
ABANDONED_S = 2.0
#: How often workers that have nothing to do are looked after.
LOOK_S = 1.0
#: Times that a request is given to a worker.
MOST_TRIES = 2
#: Pause before a worker that could not be started is started again, at first and at most.
RESTART_S, MOST_RESTART_S = 0.1, 10.0


class QueueFullError(Exception):
    """As many requests wait as may."""


class LateError(Exception):
    """A request was not answered before its deadline."""


@dataclass(frozen=True)
class Work:
    """What a worker is asked to do. key: (model, key id in hex) that the work needs, for the choice of the worker."""

    fields: dict[str, Any]
    body: bytes = field(default=b"", repr=False)
    key: tuple[str, str] | None = None


class Engine(Protocol):
    """What computes for the service: this file's Queue, or processes on other machines."""

    @property
    def full(self) -> bool:
        """Whether new work would be refused now."""

    @property
    def ready(self) -> bool:
        """Whether work would be taken up."""

    async def start(self) -> None: ...
    async def stop(self, drain_s: float) -> None: ...
    async def run(self, work: Work) -> Message: ...


@dataclass(eq=False)
class _Job:
    work: Work
    answer: asyncio.Future[Message]
    tries: int = 0
    asked: float = field(default_factory=monotonic)


class Queue:
    """Workers and the work that waits for them. All methods belong to one event loop."""

    def __init__(self, settings: ServiceSettings, on_restart: Callable[[], None] = lambda: None) -> None:
        self._settings, self._on_restart = settings, on_restart
        self._computing = Computing(settings)
        self._waiting: deque[_Job] = deque()
        self._idle: list[Worker] = []
        self._busy: dict[Worker, _Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def workers(self) -> list[Worker]:
        return [*self._idle, *self._busy]

    @property
    def full(self) -> bool:
        return self._stopping or len(self._waiting) >= self._settings.limits.queue

    @property
    def ready(self) -> bool:
        return bool(self.workers) and not self._stopping

    async def start(self) -> None:
        """Load the bundles and start all workers.

        Raises: CipherpressError as loading does.
        """
        await self._computing.start()
        try:
            self._idle = [await self._computing.worker() for _ in range(self._settings.workers)]
        except WorkerDiedError as error:
            raise ServiceError(f"workers: {error}; the lines above say why") from error
        self._spawn(self._look_after_idle())

    async def stop(self, drain_s: float) -> None:
        """Take no more work; let what was accepted finish, for so many seconds; end all processes."""
        self._stopping = True
        ends = monotonic() + drain_s
        while (self._busy or self._waiting) and monotonic() < ends:
            await asyncio.sleep(0.02)
        for job in (*self._waiting, *self._busy.values()):
            job.answer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self.workers:
            worker.kill()
            worker.close()
        self._computing.stop()

    async def run(self, work: Work) -> Message:
        """The answer to this work. Whoever is cancelled while it waits here is no longer worked for.

        Raises: QueueFullError at once; LateError; WorkerDiedError after two workers died with it.
        """
        if self.full:
            raise QueueFullError
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._assign()
        try:
            async with asyncio.timeout(self._settings.limits.request_s):
                return await job.answer
        except TimeoutError as error:
            raise LateError from error
        finally:
            job.answer.cancel()  # no effect once it is there
            if job in self._waiting:
                self._waiting.remove(job)

    def _assign(self) -> None:
        """Give waiting work to idle workers, the oldest first, each to a worker that holds its key if one does."""
        self._bury_idle()
        while self._idle and self._waiting:
            job = self._waiting.popleft()
            if job.answer.done():
                continue
            worker = next((one for one in self._idle if job.work.key in one.keys), self._idle[0])
            self._idle.remove(worker)
            self._busy[worker] = job
            self._spawn(self._work(worker, job))

    async def _work(self, worker: Worker, job: _Job) -> None:
        job.tries += 1
        loop = asyncio.get_running_loop()
        job.answer.add_done_callback(lambda _: loop.call_later(ABANDONED_S, self._end_abandoned, worker, job))
        try:
            answer = await worker.ask(job.work.fields, job.work.body)
        except WorkerDiedError as error:
            self._buried(worker, job, error)
            return
        if job.work.key is not None and "error" not in answer[0]:
            worker.holds(job.work.key)
        if not job.answer.done():
            job.answer.set_result(answer)
        del self._busy[worker]
        self._idle.append(worker)
        self._assign()

    async def _look_after_idle(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._bury_idle()

    def _bury_idle(self) -> None:
        """Replace workers that died while they had nothing to do."""
        for worker in [one for one in self._idle if one.dead]:
            self._idle.remove(worker)
            self._replaced(worker)

    def _buried(self, worker: Worker, job: _Job, error: WorkerDiedError) -> None:
        """Replace a worker that died, and give its request to another one, once."""
        del self._busy[worker]
        if not job.answer.done():
            if job.tries < MOST_TRIES:
                self._waiting.appendleft(job)
            else:
                job.answer.set_exception(error)
        self._replaced(worker)
        self._assign()

    def _replaced(self, worker: Worker) -> None:
        worker.close()
        if not self._stopping:
            self._on_restart()
            self._spawn(self._replace())

    async def _replace(self) -> None:
        pause = RESTART_S
        while not self._stopping:
            try:
                worker = await self._computing.worker()
            except (WorkerDiedError, CipherpressError):
                await asyncio.sleep(pause)
                pause = min(2 * pause, MOST_RESTART_S)
                continue
            self._idle.append(worker)
            self._assign()
            return

    def _end_abandoned(self, worker: Worker, job: _Job) -> None:
        if self._busy.get(worker) is job:
            worker.kill()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
