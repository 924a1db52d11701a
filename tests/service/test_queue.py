"""The queue in front of the workers: limits, deadlines, clients that leave, workers that die. Workers are scripted."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cipherpress.service import queueing
from cipherpress.service.messages import receive_async, write_message
from cipherpress.service.queueing import LateError, Queue, QueueFullError, Work
from cipherpress.service.settings import ServiceLimits, ServiceSettings
from cipherpress.service.workers import Worker, WorkerDiedError

LIMITS = ServiceLimits(queue=2, request_s=60.0)


class ScriptedWorker(Worker):
    """A worker in this process. `act` says what it does with a message; it dies when that returns None."""

    killed = False

    @property
    def dead(self) -> bool:
        return self.reader.at_eof()

    def kill(self) -> None:
        self.killed = True
        self.other.close()

    @classmethod
    async def made(cls, number: int, act: Callable[[int, str], Awaitable[str | None]]) -> ScriptedWorker:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(number, reader, writer)
        their_reader, worker.other = await asyncio.open_connection(sock=theirs)

        async def live() -> None:
            try:
                while True:
                    fields, _ = await receive_async(their_reader)
                    answer = await act(number, fields["do"])
                    if answer is None:
                        break
                    write_message(worker.other, {"answer": answer, "plan_ms": 1.0})
            except (EOFError, OSError):
                pass
            worker.other.close()

        worker.living = asyncio.create_task(live())
        return worker


class ScriptedComputing:
    """Starts scripted workers, numbered from 0."""

    def __init__(self, act: Callable[[int, str], Awaitable[str | None]]) -> None:
        self._act, self.made = act, list[ScriptedWorker]()

    async def start(self) -> None:
        pass

    async def worker(self) -> ScriptedWorker:
        self.made.append(await ScriptedWorker.made(len(self.made), self._act))
        return self.made[-1]

    def stop(self) -> None:
        for worker in self.made:
            worker.living.cancel()
            worker.other.close()


def run(
    scenario: Callable[[Queue, ScriptedComputing], Awaitable[None]],
    act: Callable[[int, str], Awaitable[str | None]],
    workers: int = 1,
) -> None:
    faults: list[object] = []

    async def whole() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        queue = Queue(ServiceSettings(bundles={"x": Path("x")}, workers=workers, limits=LIMITS))
        computing = ScriptedComputing(act)
        queue._computing = computing  # type: ignore[assignment]
        await queue.start()
        try:
            await scenario(queue, computing)
        finally:
            await queue.stop(0.1)

        gc.collect()  # a task that failed says so when it goes

    asyncio.run(whole())
    assert not faults


async def echo(number: int, do: str) -> str:
    return f"{do} by {number}"


def work(do: str, key: tuple[str, str] | None = None) -> Work:
    return Work({"do": do}, key=key)


async def answer(queue: Queue, do: str, key: tuple[str, str] | None = None) -> Any:
    return (await queue.run(work(do, key)))[0]["answer"]


def test_nothing_of_an_answered_request_stays_in_memory() -> None:
    async def scenario(queue: Queue, _: ScriptedComputing) -> None:
        asked = work("first")
        reply, here = await queue.run(asked), weakref.ref(asked)
        assert reply[0]["answer"] == "first by 0"
        del asked, reply
        await asyncio.sleep(0)
        gc.collect()
        assert here() is None

    run(scenario, echo)


def test_more_work_than_may_wait_is_refused_at_once_and_the_rest_answered() -> None:
    async def slow(number: int, do: str) -> str:
        await asyncio.sleep(0.05)
        return do

    async def scenario(queue: Queue, _: ScriptedComputing) -> None:
        accepted = [asyncio.create_task(answer(queue, str(number))) for number in range(3)]
        await asyncio.sleep(0)
        assert queue.full and queue.waiting == 2
        with pytest.raises(QueueFullError, match="^$"):
            await queue.run(work("too much"))
        assert await asyncio.gather(*accepted) == ["0", "1", "2"]
        assert not queue.full

    run(scenario, slow)


def test_one_tenant_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(number: int, do: str) -> str:
        await asyncio.sleep(0.03)
        return do

    async def scenario(queue: Queue, _: ScriptedComputing) -> None:
        asking = [asyncio.create_task(queue.run(Work({"do": str(number)}, tenant="ann"))) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="^$"):
            await queue.run(Work({"do": "more"}, tenant="ann"))
        asking.append(asyncio.create_task(queue.run(Work({"do": "2"}, tenant="bob"))))
        assert [fields["answer"] for fields, _ in await asyncio.gather(*asking)] == ["0", "1", "2"]

    monkeypatch.setattr("tests.service.test_queue.LIMITS", replace(LIMITS, tenant_queue=1))
    run(scenario, slow)


def test_a_key_finds_the_worker_that_holds_it() -> None:
    async def scenario(queue: Queue, _: ScriptedComputing) -> None:
        first = [await answer(queue, "run", ("m", key)) for key in ("a", "b", "a", "b", "a")]
        both = await asyncio.gather(answer(queue, "run", ("m", "c")), answer(queue, "run", ("m", "d")))
        again = [await answer(queue, "run", ("m", key)) for key in ("c", "d")]
        assert len(set(first)) <= 2 and both == again and len(set(both)) == 2

    run(scenario, echo, workers=2)


def test_a_worker_is_given_the_next_quick_work_ahead_and_loses_none_when_it_dies() -> None:
    begun: list[tuple[int, str]] = []

    async def dying(number: int, do: str) -> str | None:
        begun.append((number, do))
        await asyncio.sleep(0.02)
        return None if (number, do) == (0, "second") else f"{do} by {number}"

    async def scenario(queue: Queue, computing: ScriptedComputing) -> None:
        key = ("m", "a")
        await answer(queue, "first", key)
        asking = [asyncio.create_task(answer(queue, do, key)) for do in ("second", "third", "fourth")]
        await asyncio.sleep(0.01)
        assert queue.waiting == 1 and [job.work.fields["do"] for job in queue._given[computing.made[0]]] == [
            "second",
            "third",
        ]
        assert await asyncio.gather(*asking) == ["second by 1", "third by 1", "fourth by 1"]

    run(scenario, dying)
    assert begun == [(0, "first"), (0, "second"), (1, "second"), (1, "third"), (1, "fourth")]


def test_work_of_a_client_that_left_is_never_begun() -> None:
    begun: list[str] = []

    async def slow(number: int, do: str) -> str:
        begun.append(do)
        await asyncio.sleep(0.05)
        return do

    async def scenario(queue: Queue, _: ScriptedComputing) -> None:
        first, left, last = (asyncio.create_task(answer(queue, do)) for do in ("first", "left", "last"))
        await asyncio.sleep(0.01)
        left.cancel()
        assert await asyncio.gather(first, last) == ["first", "last"]

    run(scenario, slow)
    assert begun == ["first", "last"]


@pytest.mark.parametrize("leaves", [True, False])
def test_a_worker_that_nobody_waits_for_is_ended_and_replaced(monkeypatch: pytest.MonkeyPatch, leaves: bool) -> None:
    monkeypatch.setattr(queueing, "ABANDONED_S", 0.1)
    if not leaves:
        monkeypatch.setattr("tests.service.test_queue.LIMITS", replace(LIMITS, request_s=1.0))

    async def hanging(number: int, do: str) -> str:
        await asyncio.sleep(60 if number == 0 else 0)
        return f"{do} by {number}"

    async def scenario(queue: Queue, computing: ScriptedComputing) -> None:
        hung = asyncio.create_task(answer(queue, "hang"))
        await asyncio.sleep(0.01)
        if leaves:
            hung.cancel()
        else:
            with pytest.raises(LateError, match="^$"):
                await hung
        assert await answer(queue, "next") == "next by 1"
        assert computing.made[0].killed and not computing.made[1].killed

    run(scenario, hanging)


def test_work_of_a_worker_that_dies_is_done_by_another_once() -> None:
    async def dying(number: int, do: str) -> str | None:
        return None if number == 0 or do == "poison" else f"{do} by {number}"

    async def scenario(queue: Queue, computing: ScriptedComputing) -> None:
        assert await answer(queue, "work") == "work by 1"
        with pytest.raises(WorkerDiedError, match="worker . died"):
            await queue.run(work("poison"))
        assert await answer(queue, "more") == f"more by {len(computing.made) - 1}"
        assert len(computing.made) == 4

    run(scenario, dying)


def test_a_worker_that_died_while_idle_gets_no_work() -> None:
    async def scenario(queue: Queue, computing: ScriptedComputing) -> None:
        computing.made[0].kill()
        await asyncio.sleep(0.01)
        assert await answer(queue, "work") == "work by 1"

    run(scenario, echo)


def test_a_queue_that_stops_finishes_what_it_accepted_and_takes_no_more() -> None:
    async def slow(number: int, do: str) -> str:
        await asyncio.sleep(0.03)
        return do

    async def scenario(queue: Queue, _: ScriptedComputing) -> None:
        accepted = [asyncio.create_task(answer(queue, str(number))) for number in range(3)]
        await asyncio.sleep(0)
        await queue.stop(5.0)
        assert await asyncio.gather(*accepted) == ["0", "1", "2"]
        assert not queue.ready
        with pytest.raises(QueueFullError, match="^$"):
            await queue.run(work("late"))

    run(scenario, slow)
