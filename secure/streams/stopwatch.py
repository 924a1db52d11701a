"""What each of several parties takes that hand things to each other, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import TypeVar

from secure.streams.frames import frame_head

Thing = TypeVar("Thing")


class Stopwatch:
    """The time that making things takes, without what is paused; of frames also their number, images and bytes."""

    def __init__(self) -> None:
        self.seconds = 0.0
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
        started = perf_counter()
        for thing in things:
            self.seconds += perf_counter() - started
            yield thing
            started = perf_counter()
        self.seconds += perf_counter() - started

    def paused(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """The things; the time that they take to come does not count."""
        started = perf_counter()
        for thing in things:
            self.seconds -= perf_counter() - started
            yield thing
            started = perf_counter()
        self.seconds -= perf_counter() - started
