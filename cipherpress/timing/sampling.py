"""Samples of calls in process CPU time on one thread, each compared with a reference call that is timed around it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

#: A sample repeats its operation until it takes about this long, so that reading the clock does not matter.
SAMPLE_MS = 3.0

Key = TypeVar("Key", bound=Hashable)


def cpu_sample_us(operation: Callable[[], object], repeats: int) -> float:
    """CPU microseconds of one call, averaged over `repeats` calls."""
    start = time.process_time_ns()
    for _ in range(repeats):
        operation()
    return (time.process_time_ns() - start) / repeats * 1e-3


@dataclass(frozen=True)
class Timing(Generic[Key]):
    """One cell and its time in multiples of the reference operation: median and quartiles of the ratios."""

    key: Key
    ratio: float
    lower_quartile: float
    upper_quartile: float
    samples: int


def time_operations(
    calls: Mapping[Key, Callable[[], object]], reference: Callable[[], object], rounds: int
) -> tuple[list[Timing[Key]], list[float]]:
    """(cells, CPU microseconds of every reference sample) of the given calls.

    A shared machine changes its speed by tens of percent from second to second. Each sample is therefore taken between
    two samples of one reference operation, and only the ratio is kept. Rounds are interleaved and shuffled for the same
    reason.
    """
    repeats = {key: _repeats(call) for key, call in calls.items()}
    reference_repeats = _repeats(reference)
    ratios: dict[Key, list[float]] = {key: [] for key in calls}
    anchors: list[float] = []
    order, shuffle = list(calls), random.Random(0)
    for _ in range(rounds):
        shuffle.shuffle(order)
        before = cpu_sample_us(reference, reference_repeats)
        for key in order:
            sample = cpu_sample_us(calls[key], repeats[key])
            after = cpu_sample_us(reference, reference_repeats)
            ratios[key].append(2 * sample / (before + after))
            anchors.append(after)
            before = after
    return [_timing(key, samples) for key, samples in ratios.items()], anchors


def microseconds_in_turn(
    calls: Mapping[Key, Callable[[], object]], reference: Key, rounds: int
) -> tuple[dict[Key, float], list[float]]:
    """(CPU microseconds of every call, those of every reference sample), all measured in turn.

    The times are for the speed at which the reference takes its lower quartile, as on a machine with little other work.
    Every call is made once before.
    """
    for call in calls.values():
        call()  # the engine's first calls compile
    timings, anchors = time_operations(calls, calls[reference], rounds)
    anchor_us = statistics.quantiles(anchors, n=4)[0]
    return {timing.key: timing.ratio * anchor_us for timing in timings}, anchors


def _repeats(call: Callable[[], object]) -> int:
    return max(1, round(SAMPLE_MS * 1e3 / min(cpu_sample_us(call, 1) for _ in range(3))))


def _timing(key: Key, ratios: list[float]) -> Timing[Key]:
    lower, median, upper = statistics.quantiles(ratios, n=4)
    return Timing(key, ratio=median, lower_quartile=lower, upper_quartile=upper, samples=len(ratios))
