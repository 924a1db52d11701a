"""What each of several parties takes that hand things to each other, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import TypeVar

from secure.streams.frames import frame_head

Thing = TypeVar("Thing")


class Stopwatch:
    """The time that making things takes, without what is paused; of frames also their number, images and bytes.

    laps: seconds of every single thing. clock: seconds; that of the processor leaves out what other programs take.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self.seconds, self.laps = 0.0, list[float]()
        self.blocks = self.images = self.frame_bytes = 0

    def timed(self, frames: Iterable[bytes]) -> Iterator[bytes]:
        """The frames, each one timed and counted."""
        for frame in self.clocked(frames):
            self.blocks += 1
            self.images += frame_head(frame).images
            self.frame_bytes += len(frame)
            yield frame

    def clocked(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """The things; making each one is timed."""
        before, started = self.seconds, self._clock()
        for thing in things:
            self.seconds += self._clock() - started
            self.laps.append(self.seconds - before)
            yield thing
            before, started = self.seconds, self._clock()
        self.seconds += self._clock() - started

    def paused(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """The things; the time that they take to come does not count."""
        started = self._clock()
        for thing in things:
            self.seconds -= self._clock() - started
            yield thing
            started = self._clock()
        self.seconds -= self._clock() - started
