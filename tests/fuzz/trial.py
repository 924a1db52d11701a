"""One trial: an action on a mutated artifact ends in a value or in a typed error, soon."""

from __future__ import annotations

import resource
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from time import process_time
from types import FrameType

from compress.errors import CipherpressError

#: A trial that takes more processor time is a fault; one that takes so long by the clock is stopped.
MOST_SECONDS, STOPPED_AFTER_SECONDS = 2.0, 20.0
#: What a process may grow by during a suite, beyond its start: caches of imports and kernels.
MOST_GROWTH_BYTES = 300 * 2**20


@dataclass
class Found:
    """What became of the trials. outcomes: how many ended in each class of error, and in "works". slowest_s: the most
    processor time that one took, and slowest: which."""

    faults: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""


#: Makes an artifact from a random state: what was changed, and the action that reads and uses it.
Case = Callable[[Random], tuple[str, Callable[[], object]]]


class StoppedError(Exception):
    """A trial took too long by the clock."""


def run_trials(case: Case, count: int, *, first: int = 0) -> Found:
    """Trials with the seeds first to first + count - 1; faults name the seed and the change.

    One that was stopped is tried once more: by the clock, a machine that stood still looks like a trial that does.
    """
    found = Found()
    for seed in range(first, first + count):
        note, action = case(Random(seed))
        start = process_time()
        try:
            try:
                with _alarm():
                    action()
            except StoppedError:
                note, action = case(Random(seed))
                with _alarm():
                    action()
            found.outcomes["works"] += 1
        except CipherpressError as error:
            found.outcomes[type(error).__name__] += 1
            if len(str(error)) > 3_000:
                found.faults.append(f"seed {seed} ({note}): a message of {len(str(error))} characters")
        except Exception as error:
            found.faults.append(f"seed {seed} ({note}): {type(error).__name__}: {str(error)[:200]}{_where(error)}")
        seconds = process_time() - start
        if seconds > found.slowest_s:
            found.slowest_s, found.slowest = seconds, f"seed {seed} ({note})"
        if seconds > MOST_SECONDS:
            found.faults.append(f"seed {seed} ({note}): {seconds:.1f} s")
    return found


def peak_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _where(error: BaseException) -> str:
    """File and line of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" [{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}]"


@contextmanager
def _alarm() -> Iterator[None]:
    """Stops what takes too long; in the main thread only, where signals arrive."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError("stopped")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, STOPPED_AFTER_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
