"""Threads that work on one request together. Whoever is free takes the next piece of a kernel; waiting threads spin.

A kernel takes tens of microseconds, less than waking a thread. So helpers are woken once per request. Between kernels
they spin, and they take a piece by changing one number: handing over work costs the transfer of a cache line to another
core. A helper that the system suspends delays a request only if it is in the middle of a piece, since the leader takes
all pieces that are left. Pieces write to different places, so the result does not depend on who did which piece.
Compiled by numba. numba's own parallel loops do not serve: they wake threads for every loop, and two requests must not
enter them at the same time.

Handing over a piece and waiting for its end takes about 0.3 us (AMD EPYC, two cores). Two threads do two pieces of 1.2
us sooner than one thread, but not two pieces of 0.6 us.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import numpy as np
from llvmlite import ir
from numba import typeof, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from secure.engine.atomics import (
    WORD,
    call,
    function_type,
    increase,
    let_others,
    look,
    put,
    replace,
    sleep,
    this_core,
)
from secure.engine.compiled import kernel

#: The address that stands for no team: the caller does all pieces.
ALONE = 0
#: Offsets in a team's memory, in bytes. Words that both sides write have cache lines of their own. LEFT: the pieces
#: that nobody has taken, as the first one plus UPPER times the one after the last. DONE: pieces that helpers have
#: done. OPEN: whether a request is running. CORE: the leader's core. FUNCTION, ARGUMENTS: the job.
LEFT, DONE, OPEN, CORE, FUNCTION, ARGUMENTS, MEMORY_BYTES = 0, 64, 128, 136, 144, 152, 192
UPPER = 1 << 32
LINE_BYTES = 64
#: How often a waiting thread looks at the memory, a few nanoseconds each time, before it yields its core.
PATIENCE = 4096
#: How long a helper sleeps when it finds itself on the leader's core.
NAP_US = 100


@kernel
def _lead(team, pieces, function, place):  # type: ignore[no-untyped-def]
    """Do every piece of a job, together with the team at this address."""
    if team == ALONE or pieces == 1:
        for piece in range(pieces):
            call(function, piece, 0, place)
        return
    put(team + CORE, this_core())
    put(team + FUNCTION, function)
    put(team + ARGUMENTS, place)
    put(team + DONE, 0)
    put(team + LEFT, pieces * UPPER)
    own = _do_what_is_left(team, 0)
    looks = 0
    while own + look(team + DONE) < pieces:
        looks += 1
        if looks > PATIENCE:
            let_others()


@kernel
def _do_what_is_left(team, worker):  # type: ignore[no-untyped-def]
    """Take pieces until none is left; returns how many were done.

    The leader starts at the first piece, helpers at the last one, so that a thread tends to get the rows that it
    worked on before and still has in its cache. The job is read after a piece of it was taken: until that piece is
    done, the leader starts no other job.
    """
    done = 0
    while True:
        left = look(team + LEFT)
        first, end = left % UPPER, left // UPPER
        if first == end:
            return done
        piece, still_left = (first, left + 1) if worker == 0 else (end - 1, left - UPPER)
        if replace(team + LEFT, left, still_left):
            call(look(team + FUNCTION), piece, worker, look(team + ARGUMENTS))
            done += 1
            if worker > 0:
                increase(team + DONE)


@kernel
def _help(team, worker):  # type: ignore[no-untyped-def]
    """Take pieces until the request is over.

    On the leader's core a helper would only take time from the leader. Yielding would leave it there, but after a
    sleep the system puts it on an idle core.
    """
    looks = 0
    while look(team + OPEN):
        if this_core() == look(team + CORE):
            sleep(NAP_US)
            continue
        if _do_what_is_left(team, worker):
            looks = 0
        looks += 1
        if looks > PATIENCE:
            let_others()


@kernel
def _set_open(team, under_way):  # type: ignore[no-untyped-def]
    put(team + CORE, this_core())
    put(team + OPEN, under_way)


def shared(work: Any) -> Any:
    """A compiled work(piece, worker, *arguments) as an intrinsic (team, pieces, arguments) that does all pieces in any
    order.

    For use in kernels. worker: who does the piece; the leader is 0. A piece must not touch what others write, and must
    not raise.
    """

    def typed(typing_context: Any, team: Any, pieces: Any, arguments: Any) -> Any:
        of_work = typing_context.resolve_function_type(typeof(work), (types.intp, types.intp, *arguments), {})
        of_lead = typing_context.resolve_function_type(typeof(_lead), (types.intp,) * 4, {})

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            packed = cgutils.alloca_once_value(builder, values[2])
            name = context.mangler(f"pieces.{work.__name__}", tuple(arguments))
            function = ir.Function(builder.module, function_type(context), name)
            function.linkage = "internal"
            inner = ir.IRBuilder(function.append_basic_block())
            piece, worker, place = function.args[2:]
            unpacked = cgutils.unpack_tuple(inner, inner.load(inner.inttoptr(place, packed.type)))
            context.get_function(typeof(work), of_work)(inner, [piece, worker, *unpacked])
            context.call_conv.return_value(inner, context.get_constant_null(types.none))
            job = [builder.ptrtoint(function, WORD), builder.ptrtoint(packed, WORD)]
            context.get_function(typeof(_lead), of_lead)(builder, [*values[:2], *job])
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, arguments), generate

    return intrinsic(typed)


class Team:
    """The threads of one request at a time: the caller's and `threads - 1` helpers."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        memory = np.zeros((MEMORY_BYTES + LINE_BYTES) // 8, dtype=np.int64)
        self._memory, self._address = memory, -(-memory.ctypes.data // LINE_BYTES) * LINE_BYTES
        self._free = threading.Lock()
        self._calls: list[SimpleQueue[bool]] = [SimpleQueue() for _ in range(1, threads)]
        for worker, calls in enumerate(self._calls, start=1):
            arguments = (memory, self._address, worker, calls)
            threading.Thread(target=_helper, args=arguments, name=f"cipherpress-{worker}", daemon=True).start()
        weakref.finalize(self, _dismiss, self._calls)

    @contextmanager
    def gathered(self) -> Iterator[int]:
        """The team's address for kernels, or ALONE while the team works on another request: then all cores have
        work."""
        if not self._calls or not self._free.acquire(blocking=False):
            yield ALONE
            return
        try:
            _set_open(self._address, 1)
            for calls in self._calls:
                calls.put(True)
            yield self._address
        finally:
            _set_open(self._address, 0)
            self._free.release()


def _helper(memory: NDArray[np.int64], address: int, worker: int, calls: SimpleQueue[bool]) -> None:
    """What a helper thread runs, until it is dismissed.

    It keeps a reference to the team's memory but none to the team: when the team is deleted, its finalizer dismisses
    the helpers.
    """
    while calls.get():
        _help(address, worker)


def _dismiss(calls: list[SimpleQueue[bool]]) -> None:
    for one in calls:
        one.put(False)
