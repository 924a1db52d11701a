"""What HTTP adds to a request, and what a server does under load.

    cipherpress bench service -o out/bench
    python -m benchmarks.service DIR [BUNDLE ...] [--seconds 600] [--clients 4] [--workers 2] [--queue 64]

Without bundles the zoo's `mlp`, `cnn` and `lenet5` are served for latency, and `mlp` for throughput. The first bundle,
which is for latency, is measured request by request: the client's steps and the plan in this process, and the same
request over HTTP to `cipherpress serve` on this machine, in turn. `benchmarks.service_load` says what follows. Beside
the duration that is given it takes about five minutes, and about 6 GB of memory.
"""

from __future__ import annotations

import os
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.process_use import cpu_seconds, server_processes
from benchmarks.report import write_result
from benchmarks.served_models import make_bundles, prepared, serving
from benchmarks.service_load import Target, measure_load
from benchmarks.service_table import FACTOR, MORE_MS, service_table
from compress.dataset import Progress
from secure.parties.container import ContainerKind, parse

ROUNDS = 100


def run(
    output: Path,
    *,
    images: int = ROUNDS,
    bundles: Sequence[Path] = (),
    seconds: float = 600.0,
    clients: int = 4,
    workers: int = 2,
    queue: int = 64,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure; writes service.json and service.md into `output`.

    images: requests that are measured one by one. bundles: folders; none for those of the zoo. seconds: of the load.
    """
    say = progress or (lambda label, share: None)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # of the bare processes, as workers have it
    with tempfile.TemporaryDirectory() as folder:
        say("compile", 0.0)
        served = list(bundles) or make_bundles(Path(folder))
        with serving(served, workers, queue) as (url, process):
            say("requests", 0.05)
            models = [prepared(bundle, url, Path(folder)) for bundle in served]
            one = one_by_one(served[0], url, process, images)
            say(f"load of {seconds:g} s", 0.1)
            target = Target(httpx.URL(url).port or 80, process, workers, queue)
            load = measure_load(models, target, seconds, clients)
    named = "".join(f" {path.name}" for path in bundles)
    command = f"python -m benchmarks.service DIR{named} --seconds {seconds:g} --clients {clients} --workers {workers}"
    result = {"command": command, "request": one, "load": load, "machine": this_machine().as_json()}
    write_result(output / "service.json", result, service_table(result))
    return result


def one_by_one(bundle: Path, url: str, process: int, rounds: int) -> dict[str, Any]:
    """Medians in milliseconds of wall time: the steps in this process, and the same over HTTP, in turn.

    Also CPU milliseconds of one prediction, which other programs change little: in this process, and over HTTP by the
    client and all processes of the server.
    """
    loaded = cp.load(bundle)
    assert isinstance(loaded, cp.Bundle), "the first bundle is for latency"
    remote, random = cp.RemoteClient(url, bundle.name).connect(), np.random.default_rng(1)
    assert remote._known is not None
    (_, keys), spec, server, took = remote._known, loaded.client, cp.Server(loaded.server), []
    client: Any = keys.party
    server.register(keys.evaluation_key)
    low, high = np.asarray(spec.input_low), np.asarray(spec.input_high)
    with remote:
        for _ in range(rounds):
            image = (low + (high - low) * random.random(np.prod(spec.input_shape))).reshape(spec.input_shape)
            own: dict[str, float] = {}
            request, own["encrypt"] = _timed(client.encrypt, image)
            reply, own["run"] = _timed(server.run, request)
            _, own["decrypt"] = _timed(client.decrypt, reply)
            _, own["hash_and_split"] = _timed(parse, request, ContainerKind.REQUEST, "request")
            path = f"/v2/models/{bundle.name}/infer"
            answer, own["http"] = _timed(lambda body, to=path: remote._http.post(to, content=body), request)
            own["plan"] = float(answer.headers["Server-Timing"].partition("=")[2])
            _, own["predict"] = _timed(remote.predict, image)
            took.append(own)
        work_cpu_s = _cpu_s(lambda: client.decrypt(server.run(client.encrypt(image))), rounds, process)
        http_cpu_s = _cpu_s(lambda: remote.predict(image), rounds, process)
    steps = {f"{step}_ms": median(own[step] for own in took) for step in took[0]}
    work_ms = steps["encrypt_ms"] + steps["run_ms"] + steps["decrypt_ms"]
    return {
        "network": bundle.name,
        "rounds": rounds,
        **steps,
        "least": {f"{step}_ms": min(own[step] for own in took) for step in took[0]},
        "work_ms": work_ms,
        "allowed_ms": FACTOR * work_ms + MORE_MS,
        "work_cpu_ms": 1e3 * work_cpu_s,
        "http_cpu_ms": 1e3 * http_cpu_s,
        "upload_bytes": len(request),
        "download_bytes": len(reply),
    }


def _cpu_s(call: Callable[[], Any], rounds: int, process: int) -> float:
    """CPU seconds of a call, in this process and in the server's."""

    def spent() -> float:
        return time.process_time() + sum(cpu_seconds(server_processes(process)).values())

    before = spent()
    for _ in range(rounds):
        call()
    return (spent() - before) / rounds


def _timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """(result, milliseconds) of a call."""
    start = time.perf_counter()
    result = call(*arguments)
    return result, (time.perf_counter() - start) * 1e3


def main(arguments: Sequence[str] | None = None) -> Mapping[str, Any]:
    """Measure, write the files and print the table."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("output", type=Path)
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--queue", type=int, default=64)
    options = vars(parser.parse_args(arguments))
    result = run(options.pop("output"), **options)
    print(service_table(result))
    return result


if __name__ == "__main__":
    main()
