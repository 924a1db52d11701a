"""Work on many rows of a network, in batches that fit into memory, and side by side where a network is large."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from compress.network import Network

Result = TypeVar("Result")

#: The most numbers in all values of a batch: 128 MiB of float64.
MOST_NUMBERS = 2**24
#: Batches are worked on side by side if a row has at least so many numbers; for less, threads cost more than they save.
LARGE_ROW = 2**16
#: The most batches side by side.
MOST_THREADS = 16


def by_batches(
    network: Network, rows: NDArray[Any], work: Callable[[NDArray[Any]], Result], *, batch: int
) -> Sequence[Result]:
    """What `work` gives for every batch of rows (count, *input_shape), in order; `batch` is the most rows in one.

    The answers do not depend on the number of threads.
    """
    numbers = sum(node.size for node in network.nodes)
    size = max(1, min(batch, MOST_NUMBERS // numbers))
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    threads = min(MOST_THREADS, os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count() or 1)
    if numbers < LARGE_ROW or len(parts) < 2 or threads < 2:
        return [work(part) for part in parts]
    with threadpool_limits(limits=1), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))
