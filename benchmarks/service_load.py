"""A server under load, beside the bare rate of its plans.

Clients in processes of their own send requests of all models in turn, as fast as they are answered. They share the
machine's cores with the server. Before and after, as many bare processes as the server has workers run the same
requests without HTTP, each core to itself: that is the rate that nothing on the way could exceed.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.process_use import (
    cpu_seconds,
    filled_pages,
    huge_bytes,
    memory_row,
    pss_bytes,
    rss_bytes,
    server_processes,
)
from benchmarks.replaying import Answer, Connected, outcome_rows, replay
from benchmarks.served_models import Prepared, answer, party_server

#: Seconds between two looks at the memory of all processes.
LOOK_S = 2.0
#: Shares of the duration: what counts as warm-up, each bare run, and each model by itself; with their limits.
WARM_SHARE, MOST_WARM_S = 0.2, 60.0
BARE_SHARE, LEAST_BARE_S, MOST_BARE_S = 0.05, 6.0, 30.0
ALONE_SHARE, LEAST_ALONE_S, MOST_ALONE_S = 0.05, 6.0, 20.0
#: Requests that are sent at once to fill the queue, above what may wait.
MORE_THAN_QUEUE = 60


@dataclass(frozen=True)
class Target:
    """A server that runs: its port and process, its workers, and how many requests may wait."""

    port: int
    process: int
    workers: int
    queue: int


def measure_load(models: Sequence[Prepared], target: Target, seconds: float, clients: int) -> dict[str, Any]:
    """Everything: bare before, all models together, bare after, each model by itself, and a queue that is full."""
    bare_s = min(max(BARE_SHARE * seconds, LEAST_BARE_S), MOST_BARE_S)
    alone_s = min(max(ALONE_SHARE * seconds, LEAST_ALONE_S), MOST_ALONE_S)
    before = bare_times(models, target.workers, bare_s)
    under_load(models, target, bare_s, clients)  # so that all workers have loaded all keys, which takes seconds
    mixed = under_load(models, target, seconds, clients)
    after = bare_times(models, target.workers, bare_s)
    bare = {
        one.name: {field: (before[one.name][field] + after[one.name][field]) / 2 for field in ("ms", "cpu_ms")}
        for one in models
    }
    slowest = max((one for one in models if one.key is not None), key=lambda one: bare[one.name]["ms"])
    alone = []
    for one in models:
        own = bare_times([one], target.workers, alone_s)
        alone.append({"network": one.name, **rates(under_load([one], target, alone_s, clients), own, target.workers)})
    return {
        "clients": clients,
        "workers": target.workers,
        "cores": len(os.sched_getaffinity(0)),
        **rates(mixed, bare, target.workers),
        "bare_drift": max(after[name]["ms"] / before[name]["ms"] for name in bare) - 1,
        "networks": [_network_row(one, mixed, bare) for one in models],
        "alone": alone,
        "memory": mixed["memory"],
        "filled_pages": mixed["filled_pages"],
        "full_queue": full_queue(slowest, target),
    }


def bare_times(models: Sequence[Prepared], workers: int, seconds: float) -> dict[str, dict[str, float]]:
    """Milliseconds of one request of each model, in wall time and CPU time, where so many bare processes run them."""
    found = in_processes(_bare, [(models, number, seconds) for number in range(workers)])
    return {
        one.name: {
            field: sum(own[one.name][field] for own in found) / sum(own[one.name]["count"] for own in found)
            for field in ("ms", "cpu_ms")
        }
        for one in models
    }


def _bare(models: Sequence[Prepared], first: int, seconds: float, pipe: Connection) -> None:
    """A bare process: every model's server, and the same requests in turn."""
    loaded = [
        (one.name, party_server(one.folder, one.key), [path.read_bytes() for path in one.recorded.requests])
        for one in models
    ]
    for _, server, requests in loaded:
        answer(server, requests[0])
    took = {one.name: {"count": 0, "ms": 0.0, "cpu_ms": 0.0} for one in models}
    pipe.send("ready")
    pipe.recv()
    ends, number = perf_counter() + seconds, first
    while perf_counter() < ends:
        name, server, requests = loaded[number % len(loaded)]
        start, cpu_start = perf_counter(), process_time()
        answer(server, requests[number // len(loaded) % len(requests)])
        took[name]["ms"] += 1e3 * (perf_counter() - start)
        took[name]["cpu_ms"] += 1e3 * (process_time() - cpu_start)
        took[name]["count"] += 1
        number += 1
    pipe.send(took)


def under_load(models: Sequence[Prepared], target: Target, seconds: float, clients: int) -> dict[str, Any]:
    """What clients found in so many seconds, with the CPU time and the memory of the server's processes."""
    processes = server_processes(target.process)
    names = [name for name in processes]
    watched: dict[str, list[int]] = {name: [] for name in names}
    huge: dict[str, list[int]] = {name: [] for name in names}
    times: list[float] = []
    started, before = perf_counter(), cpu_seconds(processes)

    def watch(running: Callable[[], bool]) -> None:
        while running():
            times.append(perf_counter() - started)
            for name, pid in processes.items():
                watched[name].append(rss_bytes(pid))
                huge[name].append(huge_bytes(pid))
            time.sleep(LOOK_S)

    recorded = [one.recorded for one in models]
    found = in_processes(replay, [(target.port, recorded, n, seconds) for n in range(clients)], watch)
    after = cpu_seconds(processes)
    outcomes: Counter[tuple[str, str]] = Counter()
    for one in found:
        outcomes.update(one["outcomes"])
    warm_s = min(WARM_SHARE * seconds, MOST_WARM_S)
    return {
        "seconds": seconds,
        "outcomes": dict(outcomes),
        "took_ms": {one.name: np.concatenate([own["took_ms"][one.name] for own in found]) for one in models},
        "clients_cpu_s": sum(one["cpu_s"] for one in found),
        "server_cpu_s": {name: after[name] - before[name] for name in names},
        "replaced_workers": len(set(processes.values()) - set(server_processes(target.process).values())),
        "memory": [
            memory_row(name, times, watched[name], warm_s)
            | {"pss_bytes": pss_bytes(processes[name])}
            | {"huge_growth_bytes": memory_row(name, times, huge[name], warm_s)["growth_bytes"]}
            for name in names
        ],
        "filled_pages": filled_pages(),
    }


def rates(load: Mapping[str, Any], bare: Mapping[str, Mapping[str, float]], workers: int) -> dict[str, Any]:
    """Rates and times of a run. `bare`: of one request of each model.

    share_of_bare_rate: of what the bare processes, which have the cores to themselves, would have computed in the same
    time; the clients' CPU time counts as if the server had spent it. share_without_clients: of what they would have
    computed in the time that the clients left, since clients as a rule have machines of their own; it holds where the
    machine has as many cores as there are workers. share_of_cpu_time: of the server's own CPU time, the part that bare
    processes need for the same plans.
    """
    counts = {name: len(times) for name, times in load["took_ms"].items()}
    every = np.sort(np.concatenate(list(load["took_ms"].values())))
    plans_s = sum(count * bare[name]["ms"] / 1e3 for name, count in counts.items())
    plans_cpu_s = sum(count * bare[name]["cpu_ms"] / 1e3 for name, count in counts.items())
    available_s = workers * load["seconds"]
    failed = sum(n for (_, what), n in load["outcomes"].items() if what not in ("right", "429 with Retry-After"))
    return {
        "seconds": load["seconds"],
        "requests": int(len(every)),
        "wrong_or_failed": failed,
        "outcomes": outcome_rows(load["outcomes"]),
        "requests_per_s": len(every) / load["seconds"],
        "share_of_bare_rate": plans_s / available_s,
        "share_without_clients": plans_s / (available_s - load["clients_cpu_s"]),
        "share_of_cpu_time": plans_cpu_s / sum(load["server_cpu_s"].values()),
        "clients_cpu_ms": 1e3 * load["clients_cpu_s"] / max(len(every), 1),
        "http_cpu_ms": 1e3 * load["server_cpu_s"]["server"] / max(len(every), 1),
        "server_cpu_s": load["server_cpu_s"],
        "replaced_workers": load["replaced_workers"],
        "p50_ms": float(np.percentile(every, 50)),
        "p99_ms": float(np.percentile(every, 99)),
        "most_ms": float(every[-1]),
    }


def _network_row(one: Prepared, load: Mapping[str, Any], bare: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    times = load["took_ms"][one.name]
    return {
        "network": one.name,
        "images": one.images,
        "upload_bytes": one.recorded.requests[0].stat().st_size,
        "download_bytes": one.recorded.replies[0].stat().st_size,
        "bare_ms": bare[one.name]["ms"],
        "bare_cpu_ms": bare[one.name]["cpu_ms"],
        "requests": len(times),
        "p50_ms": float(np.percentile(times, 50)),
        "p99_ms": float(np.percentile(times, 99)),
    }


def full_queue(model: Prepared, target: Target) -> dict[str, Any]:
    """Many more requests at once than may wait: each is answered right, or refused at once with Retry-After."""
    count = target.queue + MORE_THAN_QUEUE
    request, reply = model.recorded.requests[0].read_bytes(), model.recorded.replies[0].read_bytes()

    def ask(_: int) -> tuple[Answer, float]:
        connected, start = Connected(target.port), perf_counter()
        found = connected.ask(model.recorded.path, request)
        connected.close()
        return found, 1e3 * (perf_counter() - start)

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(ask, range(count)))
    refused = [ms for one, ms in found if one.status == 429 and one.retry_after_s is not None]
    return {
        "sent": count,
        "right": sum(one.status == 200 and one.body == reply for one, _ in found),
        "refused_with_retry_after": len(refused),
        "other": sorted(one.status for one, _ in found if one.status not in (200, 429)),
        "slowest_refusal_ms": max(refused, default=0.0),
        "slowest_answer_ms": max((ms for one, ms in found if one.status == 200), default=0.0),
    }


def in_processes(
    work: Callable[..., None],
    jobs: Sequence[tuple[Any, ...]],
    meanwhile: Callable[[Callable[[], bool]], None] = lambda running: None,
) -> list[dict[str, Any]]:
    """What processes send that begin at the same moment. meanwhile: called with whether they still run."""
    context, started = get_context("spawn"), []
    for job in jobs:
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(*job, theirs))
        process.start()
        theirs.close()
        started.append((process, ours))
    for _, pipe in started:
        assert pipe.recv() == "ready"
    for _, pipe in started:
        pipe.send("go")
    meanwhile(lambda: not all(pipe.poll() for _, pipe in started))
    found = [dict(pipe.recv()) for _, pipe in started]
    for process, _ in started:
        process.join()
    return found
