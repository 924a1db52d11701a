"""Requests on their way to workers: a queue with a limit, a deadline for each, and one more try when a worker dies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Protocol

from cipherpress.service.messages import Message
from cipherpress.service.settings import ServiceSettings
from cipherpress.service.workers import Computing, Worker, WorkerDiedError
from compress.errors import CipherpressError, ServiceError

#: How long a worker may go on with a request that nobody waits for, before it is ended.
ABANDONED_S = 2.0
#: The plan of a quick model takes so many milliseconds at most.
QUICK_MS = 50.0
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
    """What a worker is asked to do. key: (model, key id in hex) that the work needs, for the choice of the worker.
    tenant: who asks."""

    fields: dict[str, Any]
    body: bytes = field(default=b"", repr=False)
    key: tuple[str, str] | None = None
    tenant: str = ""


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
    """Work and who waits for its answer. tries: times that a worker began with it."""

    work: Work
    answer: asyncio.Future[Message]
    tries: int = 0


class Queue:
    """Workers and the work that waits for them. All methods belong to one event loop.

    A worker is given one piece of work at a time. Of models whose plan is quick it is given the next piece while it is
    at one, if it holds the key, so that it does not idle between two.
    """

    def __init__(self, settings: ServiceSettings, on_restart: Callable[[], None] = lambda: None) -> None:
        self._settings, self._on_restart = settings, on_restart
        self._computing = Computing(settings)
        self._waiting: deque[_Job] = deque()
        self._given: dict[Worker, deque[_Job]] = {}
        self._tended: set[Worker] = set()
        self._plan_ms: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def workers(self) -> list[Worker]:
        return list(self._given)

    @property
    def full(self) -> bool:
        return self._stopping or len(self._waiting) >= self._settings.limits.queue

    @property
    def ready(self) -> bool:
        return bool(self._given) and not self._stopping

    async def start(self) -> None:
        """Load the bundles and start all workers.

        Raises: CipherpressError as loading does.
        """
        await self._computing.start()
        try:
            for _ in range(self._settings.workers):
                self._given[await self._computing.worker()] = deque()
        except WorkerDiedError as error:
            raise ServiceError(f"workers: {error}; the lines above say why") from error
        self._spawn(self._look_after_idle())

    async def stop(self, drain_s: float) -> None:
        """Take no more work; let what was accepted finish, for so many seconds; end all processes."""
        self._stopping = True
        ends = monotonic() + drain_s
        while (self._waiting or any(self._given.values())) and monotonic() < ends:
            await asyncio.sleep(0.02)
        for job in (*self._waiting, *(job for jobs in self._given.values() for job in jobs)):
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
        of_tenant = sum(job.work.tenant == work.tenant for job in self._waiting)
        if self.full or of_tenant >= self._settings.limits.tenant_queue:
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
        """Give waiting work to workers, the oldest first."""
        self._bury_idle()
        while self._waiting:
            worker = self._worker_for(self._waiting[0])
            if worker is None:
                return
            job = self._waiting.popleft()
            if not job.answer.done():
                self._give(worker, job)

    def _worker_for(self, job: _Job) -> Worker | None:
        """A worker that is idle, one that holds the job's key if there is one; else one that is soon done."""
        idle = [worker for worker, jobs in self._given.items() if not jobs]
        if idle:
            return next((worker for worker in idle if job.work.key in worker.keys), idle[0])
        if not self._quick(job):
            return None
        soon = (worker for worker, jobs in self._given.items() if len(jobs) == 1 and self._quick(jobs[0]))
        return next((worker for worker in soon if job.work.key in worker.keys), None)

    def _quick(self, job: _Job) -> bool:
        return job.work.key is not None and self._plan_ms.get(job.work.key[0], inf) <= QUICK_MS

    def _give(self, worker: Worker, job: _Job) -> None:
        jobs = self._given[worker]
        jobs.append(job)
        worker.send(job.work.fields, job.work.body)
        if worker not in self._tended:
            self._tended.add(worker)
            self._spawn(self._tend(worker, jobs))

    async def _tend(self, worker: Worker, jobs: deque[_Job]) -> None:
        """Pass on a worker's answers, for as long as it has work."""
        while jobs:
            job = jobs[0]
            job.tries += 1
            job.answer.add_done_callback(partial(self._left, worker, job))
            try:
                answer = await worker.receive()
            except WorkerDiedError as error:
                self._tended.discard(worker)
                self._buried(worker, error)
                return
            jobs.popleft()
            if job.work.key is not None and "error" not in answer[0]:
                worker.holds(job.work.key)
                self._plan_ms[job.work.key[0]] = answer[0].get("plan_ms", inf)
            if not job.answer.done():
                job.answer.set_result(answer)
            self._assign()  # which may give it more
        self._tended.discard(worker)

    async def _look_after_idle(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._bury_idle()

    def _bury_idle(self) -> None:
        """Replace workers that died while they had nothing to do."""
        for worker in [one for one, jobs in self._given.items() if not jobs and one.dead]:
            del self._given[worker]
            self._replaced(worker)

    def _buried(self, worker: Worker, error: WorkerDiedError) -> None:
        """Replace a worker that died. What it was at is given to another one, once; what it had not begun, again."""
        for job in reversed(self._given.pop(worker)):
            if job.tries >= MOST_TRIES and not job.answer.done():
                job.answer.set_exception(error)
            elif not job.answer.done():
                self._waiting.appendleft(job)
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
            self._given[worker] = deque()
            self._assign()
            return

    def _left(self, worker: Worker, job: _Job, answer: asyncio.Future[Message]) -> None:
        """Nobody waits for a job any more. A worker that is at it gets a moment, unless it has answered."""
        if not answer.cancelled():
            return
        asyncio.get_running_loop().call_later(ABANDONED_S, self._end_abandoned, worker, job)

    def _end_abandoned(self, worker: Worker, job: _Job) -> None:
        """End a worker that is still at work which nobody waits for."""
        jobs = self._given.get(worker)
        if jobs and jobs[0] is job:
            worker.kill()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
