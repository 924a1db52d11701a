"""Competitors in turn on one core. Each one lives in its own process, and every image goes to all of them in turn.

A change of the machine's speed then affects all competitors alike.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress
from secure.verify.memory import peak_rss_bytes


@dataclass(frozen=True)
class Entry:
    """A competitor: how its process makes it, its network, and the outputs of that network in clear."""

    kind: str
    arguments: tuple[str, ...]
    network: str
    clear: NDArray[np.float64]
    accuracy_compressed: float | None = None


def measure_in_turn(entries: list[Entry], images: Any, labels: Any, say: Progress) -> list[dict[str, Any]]:
    """One row per competitor: medians of its times over the images, and how its classes and outputs compare."""
    context = get_context("spawn")
    core = min(os.sched_getaffinity(0))
    workers = []
    for entry in entries:
        ours, theirs = context.Pipe()
        process = context.Process(target=_competitor, args=(theirs, entry.kind, entry.arguments, core), daemon=True)
        process.start()
        workers.append((process, ours, ours.recv()))
    rounds: list[list[dict[str, Any]]] = [[] for _ in entries]
    for index, image in enumerate(images):
        for number, (_, pipe, _) in enumerate(workers):
            pipe.send(image)
            rounds[number].append(pipe.recv())
        say("in turn", (index + 1) / len(images))
    rows = []
    for entry, (process, pipe, facts), measured in zip(entries, workers, rounds, strict=True):
        pipe.send(None)
        facts |= pipe.recv()
        process.join()
        rows.append(_row(entry, facts, measured, labels))
    return rows


def _row(entry: Entry, facts: dict[str, Any], measured: list[dict[str, Any]], labels: Any) -> dict[str, Any]:
    outputs = np.asarray([one["outputs"] for one in measured])
    named, clear = outputs.argmax(axis=1), entry.clear.argmax(axis=1)
    times = {
        key: median(one[key] for one in measured) for key in ("client_encrypt_ms", "server_ms", "client_decrypt_ms")
    }
    server = sorted(one["server_ms"] for one in measured)
    return {
        "network": entry.network,
        "competitor": facts["name"],
        **times,
        "server_ms_p10": server[len(server) // 10],
        "server_ms_p90": server[-1 - len(server) // 10],
        "accuracy_encrypted": float(np.mean(named == labels)),
        "accuracy_clear": float(np.mean(clear == labels)),
        "agreement": float(np.mean(named == clear)),
        "max_logit_error": float(np.abs(outputs - entry.clear).max()),
        "evaluation_key_bytes": facts["key_bytes"],
        "upload_bytes": measured[0]["upload_bytes"],
        "download_bytes": measured[0]["download_bytes"],
        "peak_rss_bytes": facts["peak_rss_bytes"],
    }


def _competitor(pipe: Connection, kind: str, arguments: tuple[str, ...], core: int) -> None:
    """A child process: answers images until it gets None."""
    os.sched_setaffinity(0, {core})
    os.environ["OMP_NUM_THREADS"] = "1"
    competitor = _make(kind, arguments)
    pipe.send({"name": competitor.name, "key_bytes": competitor.key_bytes()})
    while (image := pipe.recv()) is not None:
        start = perf_counter()
        request = competitor.encrypt(image)
        encrypted = perf_counter()
        reply = competitor.run(request)
        ran = perf_counter()
        outputs = competitor.decrypt(reply)
        decrypted = perf_counter()
        pipe.send(
            {
                "outputs": outputs,
                "client_encrypt_ms": (encrypted - start) * 1e3,
                "server_ms": (ran - encrypted) * 1e3,
                "client_decrypt_ms": (decrypted - ran) * 1e3,
                "upload_bytes": competitor.size(request),
                "download_bytes": competitor.size(reply),
            }
        )
    pipe.send({"peak_rss_bytes": peak_rss_bytes()})


def _make(kind: str, arguments: tuple[str, ...]) -> Any:
    if kind == "tenseal_tutorial":
        from benchmarks.tenseal_tutorial import Competitor as Tutorial

        return Tutorial()
    if kind == "tenseal_mlp":
        from benchmarks.tenseal_mlp import Competitor as Mlp

        return Mlp(Path(arguments[0]))
    from benchmarks.ours import Competitor as Ours

    return Ours(Path(arguments[0]), arguments[1])
