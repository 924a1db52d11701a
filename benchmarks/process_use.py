"""Memory and CPU time of processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TICK_HZ = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: Memory counts as flat where it grew by so many bytes, or by this share, at most.
FLAT_BYTES, FLAT_SHARE = 5e6, 0.02


def server_processes(server: int) -> dict[str, int]:
    """The processes of `cipherpress serve` by what they are."""
    found = {"server": server}
    for loader in children(server):
        found["loads the bundles"] = loader
        found |= {f"worker {number}": pid for number, pid in enumerate(sorted(children(loader)), 1)}
    return found


def children(parent: int) -> list[int]:
    """Processes that a process started and that still run."""
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if (fields := _status(pid)) and int(fields[1]) == parent and fields[0] != "Z"]


def rss_bytes(pid: int) -> int:
    """Memory that a process has resident, shared pages included; 0 for one that has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        return 0


def pss_bytes(pid: int) -> int:
    """The same with shared pages counted in parts, one part for each process that shares them."""
    return _rolled_up(pid, "Pss")


def huge_bytes(pid: int) -> int:
    """What of it lies in huge pages; 0 for a process that has ended.

    The kernel turns small pages of an array into huge ones long after they were touched, and then what the process
    never touched of them is resident too.
    """
    return _rolled_up(pid, "AnonHugePages")


def filled_pages() -> int:
    """How many small pages that were never touched the kernel may add to make a huge page: its own setting."""
    try:
        return int(Path("/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none").read_text())
    except OSError:
        return 0


def _rolled_up(pid: int, field: str) -> int:
    """A field of /proc/PID/smaps_rollup in bytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, in all of its threads; 0 for one that has ended."""
    return sum(map(int, _status(pid)[11:13])) / TICK_HZ


def cpu_seconds(processes: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds of each of these processes."""
    return {name: cpu_s(pid) for name, pid in processes.items()}


def idle_s() -> float:
    """Seconds that the machine's cores were idle since it started, of all cores together."""
    idle, waiting = Path("/proc/stat").read_text().split(maxsplit=6)[4:6]
    return (int(idle) + int(waiting)) / TICK_HZ


def _status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; none for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def memory_row(name: str, times_s: Sequence[float], values: Sequence[int], warm_s: float) -> dict[str, Any]:
    """What a process's memory did after warm_s.

    slope: of a straight line through the samples. growth: from the median of the first quarter of them to that of the
    last one. flat: whether that is as good as nothing.
    """
    times, sizes = np.asarray(times_s), np.asarray(values, dtype=np.float64)
    warm = times >= min(warm_s, times[-1])
    slope = float(np.polyfit(times[warm], sizes[warm], 1)[0]) if warm.sum() > 2 else 0.0
    quarter = max(1, int(warm.sum()) // 4)
    first, last = (float(np.median(part)) for part in (sizes[warm][:quarter], sizes[warm][-quarter:]))
    every = max(1, len(values) // 60)
    return {
        "process": name,
        "warm_bytes": int(sizes[warm][0]),
        "end_bytes": int(sizes[-1]),
        "most_bytes": int(sizes.max()),
        "slope_bytes_per_min": 60 * slope,
        "growth_bytes": last - first,
        "flat": last - first <= max(FLAT_BYTES, FLAT_SHARE * first),
        "seconds": [round(float(one), 1) for one in times[::every]],
        "bytes": [int(one) for one in sizes[::every]],
    }
