"""One request on one thread and on two, of the same server.

    cipherpress bench threads -o out/bench        (or: python -m benchmarks.threads out/bench [BUNDLE ...])

Each image runs on one thread and on two, one right after the other, and the order alternates, so a change of the
machine's speed affects both. The ratio is the median over images. A second thread gains nothing where other work uses
the second core; the note gives the load. Bundles named on the command line are measured instead of the zoo's networks.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import cipherpress as cp
from benchmarks.fixed_plans import NETWORKS
from benchmarks.machine import this_machine
from benchmarks.report import table_head, with_note, write_result
from benchmarks.savings import converted
from compress.dataset import Progress
from secure.bundle.files import load_bundle
from secure.bundle.specs import Bundle
from secure.parties.client import Client
from secure.parties.server import Server

THREADS = (1, 2)


def run(output: Path, *, images: int = 60, progress: Progress | None = None) -> dict[str, Any]:
    """Measure every network over the first `images` test images; write threads.json and threads.md into `output`.

    Raises: ConfigError where this process may use only one core.
    """
    say = progress or (lambda label, share: None)
    data = cp.load_data("mnist")
    bundles = {}
    for position, (name, recipe) in enumerate(NETWORKS.items()):
        say(f"train {name}", position / len(NETWORKS))
        bundles[name] = cp.compile(converted(*recipe, data), data)
    return measure(bundles, data.x_test[:images], output, f"cipherpress bench threads --images {images} -o DIR")


def measure(bundles: Mapping[str, Bundle], images: Any, output: Path, command: str) -> dict[str, Any]:
    """Measure compiled bundles, by name. command: the command that the note names."""
    rows = [{"network": name, **in_turn(bundle, images)} for name, bundle in bundles.items()]
    result = {"command": command, "images": len(images), "rows": rows, "machine": this_machine().as_json()}
    write_result(output / "threads.json", result, threads_table(result))
    return result


def in_turn(bundle: Bundle, images: Any) -> dict[str, Any]:
    """Medians of a bundle's server milliseconds on one and on two threads and of their ratios, and the mean load."""
    client = Client(bundle.client)
    servers = [Server(bundle.server, threads=threads) for threads in THREADS]
    for server in servers:
        server.register(client.evaluation_key)
        server.run(client.encrypt(images[0]))  # the first run allocates arrays
    times: list[list[float]] = []
    loads = []
    for position, image in enumerate(images):
        key_id, ciphertexts = servers[0].load_request(client.encrypt(image))
        own = [0.0] * len(servers)
        for place in (0, 1) if position % 2 else (1, 0):
            start = perf_counter()
            servers[place].run_ciphertexts(key_id, ciphertexts)
            own[place] = (perf_counter() - start) * 1e3
        times.append(own)
        loads.append(os.getloadavg()[0])
    return {
        "server_ms": median(one for one, _ in times),
        "server_ms_two": median(two for _, two in times),
        "ratio": median(two / one for one, two in times),
        "load_average": sum(loads) / len(loads),
    }


def threads_table(result: Mapping[str, Any]) -> str:
    """Markdown, with machine, date and command under it."""
    lines = table_head(("network", "one thread, ms", "two threads, ms", "ratio", "load"))
    lines += [
        f"| {row['network']} | {row['server_ms']:.1f} | {row['server_ms_two']:.1f} | {row['ratio']:.2f} | "
        f"{row['load_average']:.1f} |"
        for row in result["rows"]
    ]
    machine = result["machine"]
    note = (
        f"Medians over the first {result['images']} test digits, encrypted, on one thread and on two in turn. "
        "Load: mean during the measurement. "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)


if __name__ == "__main__":
    folder, *paths = sys.argv[1:]
    digits = cp.load_data("mnist").x_test[:60]
    named = {Path(path).name: load_bundle(Path(path)) for path in paths}
    told = "python -m benchmarks.threads DIR BUNDLE ..."
    found = measure(named, digits, Path(folder), told) if named else run(Path(folder))
    print(json.dumps(found["rows"], indent=1))
