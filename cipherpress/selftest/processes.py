"""Each case in a process of its own: its peak memory is its own, and a crash ends one case only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from os import environ
from resource import RLIMIT_CPU, setrlimit
from signal import SIGXCPU
from time import monotonic
from typing import cast

from cipherpress.selftest.case import CaseResult, run_case
from compress.dataset import Progress

#: A case that takes more processor time is stopped and counts as failed; so is one that waits so long by the clock.
PROCESSOR_LIMIT_S, CLOCK_LIMIT_S = 900, 7200.0
#: Variables by which linear algebra is kept to one thread, since cases run side by side.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_cases(cases: Sequence[tuple[str, int]], inputs: int, workers: int, progress: Progress) -> list[CaseResult]:
    """The results of all (family, seed), in the order of `cases`; `progress` is called as soon as one is there."""
    results: dict[tuple[str, int], CaseResult] = {}
    for result in _finished(cases, inputs, workers):
        results[result.family, result.seed] = result
        progress(f"{result.family} {result.outcome}", len(results) / len(cases))
    return [results[case] for case in cases]


def _finished(cases: Sequence[tuple[str, int]], inputs: int, workers: int) -> Iterator[CaseResult]:
    waiting = list(reversed(cases))
    running: dict[Connection, tuple[BaseProcess, tuple[str, int], float]] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            case = waiting.pop()
            ours, process = _started(case, inputs)
            running[ours] = process, case, monotonic()
        ready = wait(list(running), timeout=1.0)
        for connection in list(running):
            process, (family, seed), begun = running[connection]
            if connection in ready:
                yield _received(connection, process, family, seed)
            elif monotonic() - begun > CLOCK_LIMIT_S:
                process.kill()
                yield CaseResult(family, seed, "failed", f"took more than {CLOCK_LIMIT_S:.0f} s by the clock")
            else:
                continue
            process.join()
            connection.close()
            del running[connection]


def _started(case: tuple[str, int], inputs: int) -> tuple[Connection, BaseProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, *case, inputs), daemon=True)
    before = {name: environ.get(name) for name in THREAD_VARIABLES}
    environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # read by the new process when it loads its libraries
    try:
        process.start()
    finally:
        for name, value in before.items():
            if value is None:
                del environ[name]
            else:
                environ[name] = value
    theirs.close()
    return ours, process


def _send(connection: Connection, family: str, seed: int, inputs: int) -> None:
    setrlimit(RLIMIT_CPU, (PROCESSOR_LIMIT_S, PROCESSOR_LIMIT_S + 1))
    connection.send(run_case(family, seed, inputs))
    connection.close()


def _received(connection: Connection, process: BaseProcess, family: str, seed: int) -> CaseResult:
    try:
        return cast(CaseResult, connection.recv())
    except EOFError:
        process.join()
        if process.exitcode == -SIGXCPU:
            reason = f"took more than {PROCESSOR_LIMIT_S} s of processor time"
            return CaseResult(family, seed, "failed", reason, seconds=PROCESSOR_LIMIT_S)
        return CaseResult(family, seed, "failed", f"its process ended with status {process.exitcode}")
