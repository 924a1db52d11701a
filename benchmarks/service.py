"""What HTTP adds to a request, and what a server does under load.

    python -m benchmarks.service DIR BUNDLE [BUNDLE ...] [--seconds 60] [--clients 4] [--workers 1]

The first bundle's requests are measured one by one: the client's steps and the plan in this process, and the same
request over HTTP to `cipherpress serve` on this machine, in turn. Then clients send requests of all bundles in turn, as
fast as they are answered, and every reply is compared with the one that this process computed. Bundles are for latency.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import table_head, with_note, write_result
from secure.parties.client import Client
from secure.parties.container import ContainerKind, parse
from secure.parties.server import Server

ROUNDS = 100
#: Requests of each bundle that are sent again and again under load.
DIFFERENT = 8
#: What the contract allows over HTTP: this many times the work, and so much more.
FACTOR, MORE_MS = 1.3, 8.0
MEMORY_EVERY_S = 2.0


@dataclass
class Served:
    """One bundle: its parties in this process, requests and their replies, and the client of the server.

    bare_ms, bare_cpu_ms: of `Server.run` in this process, in wall time and in CPU time.
    """

    name: str
    client: Client
    server: Server
    remote: cp.RemoteClient
    requests: list[bytes]
    replies: list[bytes]
    bare_ms: float
    bare_cpu_ms: float


def main() -> None:
    """Measure, print the table, and write service.json and service.md."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with serving(options.bundles, options.workers) as (url, process):
        served = [_prepared(folder, url) for folder in options.bundles]
        one = one_by_one(served[0]) | cpu_times(served[0], process)
        load = asyncio.run(under_load(served, url, process, options.seconds, options.clients, options.workers))
    command = f"python -m benchmarks.service DIR {' '.join(path.name for path in options.bundles)}"
    command += f" --seconds {options.seconds:g} --clients {options.clients} --workers {options.workers}"
    result = {"command": command, "request": one, "load": load, "machine": this_machine().as_json()}
    write_result(options.output / "service.json", result, service_table(result))
    print(service_table(result))


@contextmanager
def serving(bundles: Sequence[Path], workers: int) -> Iterator[tuple[str, int]]:
    """(URL, process) of `cipherpress serve` on a free port."""
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "cli", "serve", *map(str, bundles), "--port", "0", "--json"]
        command += ["--workers", str(workers), "--data-dir", data]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"], process.pid
        finally:
            process.terminate()
            process.wait()


def _prepared(folder: Path, url: str) -> Served:
    bundle = cp.load(folder)
    assert isinstance(bundle, cp.Bundle), "bundles for latency are measured here"
    remote = cp.RemoteClient(url, folder.name).connect()
    assert remote._known is not None
    _, keys = remote._known
    client, server = keys.party, cp.Server(bundle.server)
    server.register(keys.evaluation_key)
    random, spec = np.random.default_rng(0), bundle.client
    inputs = [random.uniform(spec.input_low, spec.input_high).reshape(spec.input_shape) for _ in range(DIFFERENT)]
    requests = [client.encrypt(one) for one in inputs]
    replies = [server.run(request) for request in requests]
    assert [remote.send(request) for request in requests] == replies, "replies over HTTP are those of this process"
    bare_ms, bare_cpu_ms = (
        median(_timed(server.run, requests[number % DIFFERENT], clock=clock)[1] for number in range(30))
        for clock in (time.perf_counter, time.process_time)
    )
    return Served(folder.name, client, server, remote, requests, replies, bare_ms, bare_cpu_ms)


def one_by_one(served: Served) -> dict[str, Any]:
    """Medians in milliseconds of wall time: the steps in this process, and the same over HTTP, in turn."""
    client, server, remote, spec = served.client, served.server, served.remote, served.client.spec
    random, rounds = np.random.default_rng(1), []
    http = remote._http
    for _ in range(ROUNDS):
        image = random.uniform(spec.input_low, spec.input_high).reshape(spec.input_shape)
        own: dict[str, float] = {}
        request, own["encrypt"] = _timed(client.encrypt, image)
        reply, own["run"] = _timed(server.run, request)
        _, own["decrypt"] = _timed(client.decrypt, reply)
        _, own["hash_and_split"] = _timed(parse, request, ContainerKind.REQUEST, "request")
        answer, own["http"] = _timed(lambda body: http.post(f"/v2/models/{served.name}/infer", content=body), request)
        own["plan"] = float(answer.headers["Server-Timing"].partition("=")[2])
        _, own["predict"] = _timed(remote.predict, image)
        rounds.append(own)
    took = {f"{step}_ms": median(one[step] for one in rounds) for step in rounds[0]}
    least = {f"{step}_ms": min(one[step] for one in rounds) for step in rounds[0]}
    work_ms = took["encrypt_ms"] + took["run_ms"] + took["decrypt_ms"]
    return {
        "network": served.name,
        "rounds": ROUNDS,
        **took,
        "least": least,
        "work_ms": work_ms,
        "allowed_ms": FACTOR * work_ms + MORE_MS,
        "upload_bytes": len(served.requests[0]),
        "download_bytes": len(served.replies[0]),
    }


def cpu_times(served: Served, process: int) -> dict[str, float]:
    """CPU milliseconds of one prediction, which other programs do not change: in this process, and over HTTP by the
    client and all processes of the server."""
    client, spec = served.client, served.client.spec
    image = ((spec.input_low + spec.input_high) / 2).reshape(spec.input_shape)
    started = time.process_time()
    for _ in range(ROUNDS):
        client.decrypt(served.server.run(client.encrypt(image)))
    work_s = time.process_time() - started
    started = time.process_time() + _cpu_s(process)
    for _ in range(ROUNDS):
        served.remote.predict(image)
    http_s = time.process_time() + _cpu_s(process) - started
    return {"work_cpu_ms": 1e3 * work_s / ROUNDS, "http_cpu_ms": 1e3 * http_s / ROUNDS}


async def under_load(
    served: Sequence[Served], url: str, process: int, seconds: float, clients: int, workers: int
) -> dict[str, Any]:
    """Requests of all bundles in turn, by so many clients at once: rate, times, wrong answers, memory, CPU time."""
    took: dict[str, list[float]] = {one.name: [] for one in served}
    wrong: list[str] = []
    memory: list[dict[str, float]] = []
    ends = time.perf_counter() + seconds

    async def ask(first: int) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=120) as http:
            number = first
            while time.perf_counter() < ends:
                one, which = served[number % len(served)], number // len(served) % DIFFERENT
                start = time.perf_counter()
                answer = await http.post(f"/v2/models/{one.name}/infer", content=one.requests[which])
                took[one.name].append(1e3 * (time.perf_counter() - start))
                if answer.status_code != 200 or answer.content != one.replies[which]:
                    wrong.append(f"{one.name}: {answer.status_code}")
                number += 1

    async def watch() -> None:
        while time.perf_counter() < ends:
            memory.append({name: _memory_bytes(pid) for name, pid in _processes(process).items()})
            await asyncio.sleep(MEMORY_EVERY_S)

    before, started = _cpu_s(process), time.perf_counter()
    await asyncio.gather(watch(), *(ask(number) for number in range(clients)))
    wall_s, cpu_s = time.perf_counter() - started, _cpu_s(process) - before
    bare_s = sum(len(took[one.name]) * one.bare_ms / 1e3 for one in served)
    bare_cpu_s = sum(len(took[one.name]) * one.bare_cpu_ms / 1e3 for one in served)
    every = sorted(time_ms for times in took.values() for time_ms in times)
    return {
        "seconds": wall_s,
        "clients": clients,
        "workers": workers,
        "requests": len(every),
        "wrong": len(wrong),
        "requests_per_s": len(every) / wall_s,
        "share_of_bare_rate": bare_s / (workers * wall_s),
        "share_of_cpu_time": bare_cpu_s / cpu_s,
        "p50_ms": every[len(every) // 2],
        "p99_ms": every[len(every) * 99 // 100],
        "networks": [
            {
                "network": one.name,
                "bare_ms": one.bare_ms,
                "bare_cpu_ms": one.bare_cpu_ms,
                "requests": len(took[one.name]),
                "p50_ms": median(took[one.name]),
            }
            for one in served
        ],
        "memory": [_memory_row(name, memory) for name in memory[-1]],
    }  # fmt: skip


def _memory_row(name: str, memory: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Of one process: after a third of the time, at the end, and at most."""
    values = [one[name] for one in memory if name in one]
    return {"process": name, "warm_bytes": values[len(values) // 3], "end_bytes": values[-1], "most_bytes": max(values)}


def _processes(server: int) -> dict[str, int]:
    """The server's processes by what they are."""
    found = {"server": server}
    for parent, name in ((server, "loads the bundles"), (None, "worker")):
        for pid in _children(parent if parent is not None else found.get("loads the bundles", -1)):
            found[name if name not in found else f"{name} {pid}"] = pid
    return found


def _children(parent: int) -> list[int]:
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if (fields := _status(pid)) and int(fields[1]) == parent]


def _status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; none for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _memory_bytes(pid: int) -> int:
    """Memory of a process, what it shares counted in parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _cpu_s(server: int) -> float:
    """CPU time of all processes of a server."""
    tick = os.sysconf("SC_CLK_TCK")
    return sum(sum(map(int, _status(pid)[11:13])) / tick for pid in _processes(server).values())


def _timed(
    call: Callable[..., Any], *arguments: Any, clock: Callable[[], float] = time.perf_counter
) -> tuple[Any, float]:
    """(result, milliseconds) of a call."""
    start = clock()
    result = call(*arguments)
    return result, (clock() - start) * 1e3


def service_table(result: Mapping[str, Any]) -> str:
    """Markdown: one request, load, memory; with machine, date and command under it."""
    one, load, machine = result["request"], result["load"], result["machine"]
    lines = table_head(("step of one request", "median ms", "least ms"))
    for step in ("encrypt", "run", "decrypt", "hash_and_split", "plan", "http", "predict"):
        lines.append(f"| {step.replace('_', ' ')} | {one[f'{step}_ms']:.1f} | {one['least'][f'{step}_ms']:.1f} |")
    lines += ["", *table_head(("network", "requests", "plan alone ms", "of CPU time ms", "median under load ms"))]
    lines += [
        f"| {row['network']} | {row['requests']:,} | {row['bare_ms']:.1f} | {row['bare_cpu_ms']:.1f} | "
        f"{row['p50_ms']:.1f} |"
        for row in load["networks"]
    ]
    lines += ["", *table_head(("process", "after a third of the time, MB", "at the end, MB", "at most, MB"))]
    lines += [
        f"| {row['process']} | {row['warm_bytes'] / 1e6:,.0f} | {row['end_bytes'] / 1e6:,.0f} | "
        f"{row['most_bytes'] / 1e6:,.0f} |"
        for row in load["memory"]
    ]
    quiet = machine["load_average"] < machine["cores"]  # else the time alone was measured beside other programs
    share = f", and the rate is {load['share_of_bare_rate']:.0%} of the plans' bare rate" if quiet else ""
    note = (
        f"One request of {one['network']}: {FACTOR} times the work and {MORE_MS:g} ms are {one['allowed_ms']:.1f} ms. "
        f"In CPU time, which other programs change little: the work {one['work_cpu_ms']:.1f} ms, over HTTP "
        f"{one['http_cpu_ms']:.1f} ms in all processes together. "
        f"Load: {load['clients']} clients, {load['workers']} worker, {load['seconds']:.0f} s, {load['requests']:,} "
        f"requests, {load['wrong']} wrong or failed, {load['requests_per_s']:.0f} a second, p50 {load['p50_ms']:.0f} "
        f"ms, p99 {load['p99_ms']:.0f} ms; plans take {load['share_of_cpu_time']:.0%} of the server's CPU time{share}. "
        f"{machine['cpu']}, {machine['cores']} cores, load "
        f"{machine['load_average']:.1f} of other programs included, {machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)


if __name__ == "__main__":
    main()
