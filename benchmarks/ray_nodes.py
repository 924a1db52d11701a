"""The rate of a Ray cluster of two nodes on this machine beside that of one.

    python -m benchmarks.ray_nodes DIR [BUNDLE] [--seconds 25] [--rounds 2] [--clients 4]

A node has one core, and every replica takes one. The cluster grows from one node to two and shrinks again, `rounds`
times. Each time `cipherpress serve --engine ray` serves the bundle with as many replicas as there are nodes, and
clients with keys of their own replay requests and compare every reply. The nodes, the server and the clients share this
machine's cores, so two nodes can give twice the rate only where cores are free for all of them: the cores that were
idle meanwhile are stated. Without a bundle it is the zoo's `lenet5`, whose plan is the longest. Takes under four
minutes beside compiling. Needs the extra `ray`.
"""

from __future__ import annotations

import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.process_use import idle_s
from benchmarks.replaying import replay
from benchmarks.report import table_head, with_note, write_result
from benchmarks.served_models import answer, party_server, prepared, serving
from benchmarks.service_load import in_processes
from secure.parties.registrations import registration_bytes

#: Shared memory of a Ray node: for the keys of all clients and the requests, so that Ray moves none of them to disk.
STORE_BYTES = 700 * 2**20
#: Bare runs of a request.
BARE_RUNS = 10
#: What the contract asks for, where two cores are free.
WANTED = 1.7


def run(output: Path, bundle: Path | None, seconds: float, rounds: int, clients: int) -> dict[str, Any]:
    """Measure; writes ray-nodes.json and ray-nodes.md into `output`."""
    from ray.cluster_utils import Cluster

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = bundle or _lenet5(Path(folder))
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for round_ in range(rounds):
                cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
                cluster.wait_for_nodes()
                rows.append(_rate(path, cluster.address, 1, seconds, clients, Path(folder) / f"{round_}-1"))
                second = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
                cluster.wait_for_nodes()
                rows.append(_rate(path, cluster.address, 2, seconds, clients, Path(folder) / f"{round_}-2"))
                for node in (second, *cluster.worker_nodes):
                    if node in cluster.worker_nodes:
                        cluster.remove_node(node)
        finally:
            cluster.shutdown()
        bare_ms = _bare_ms(path, Path(folder) / "0-1")
    rates = {nodes: median(row["requests_per_s"] for row in rows if row["nodes"] == nodes) for nodes in (1, 2)}
    named = f" {bundle.name}" if bundle else ""
    result = {
        "command": f"python -m benchmarks.ray_nodes DIR{named} --seconds {seconds:g} --rounds {rounds}",
        "network": path.name,
        "bare_ms": bare_ms,
        "clients": clients,
        "rows": rows,
        "ratio": rates[2] / rates[1],
        "machine": this_machine().as_json(),
    }
    write_result(output / "ray-nodes.json", result, ray_table(result))
    return result


def _lenet5(folder: Path) -> Path:
    from benchmarks.fixed_plans import PLAIN
    from benchmarks.savings import converted

    data = cp.load_data("mnist")
    cp.save(cp.compile(converted("lenet5", PLAIN, data), data), folder / "lenet5", force=True)
    return folder / "lenet5"


def _rate(bundle: Path, address: str, nodes: int, seconds: float, clients: int, folder: Path) -> dict[str, Any]:
    """Requests per second of a cluster of so many nodes, each with a replica."""
    options = ["--engine", "ray", "--address", address, "--request-seconds", "120"]
    loaded = cp.load(bundle)
    if isinstance(loaded, cp.Bundle):  # a node that is alone has the keys of all clients
        options += ["--key-cache", str(clients * registration_bytes(loaded.server.plan))]
    with serving([bundle], nodes, 64, options) as (url, _):
        own = []
        for number in range(clients):
            (folder / str(number)).mkdir(parents=True)
            own.append(prepared(bundle, url, folder / str(number)).recorded)
        port, started, idle = httpx.URL(url).port, time.perf_counter(), idle_s()
        found = in_processes(replay, [(port, [one], 0, seconds) for one in own])
        passed = time.perf_counter() - started
        idle_cores = (idle_s() - idle) / passed
    outcomes: dict[str, int] = {}
    for one in found:
        for (_, what), count in one["outcomes"].items():
            outcomes[what] = outcomes.get(what, 0) + count
    times = sorted(ms for one in found for own_ms in one["took_ms"].values() for ms in own_ms)
    return {
        "nodes": nodes,
        "requests_per_s": outcomes.get("right", 0) / seconds,
        "outcomes": outcomes,
        "p50_ms": median(times),
        "idle_cores": idle_cores,
    }


def _bare_ms(bundle: Path, folder: Path) -> float:
    """Milliseconds of one request in this process."""
    keys = folder / "0" / f"{bundle.name}-keys" / "evaluation.key"
    server = party_server(bundle, keys)
    request = (folder / "0" / f"{bundle.name}-0.request").read_bytes()
    took = []
    for _ in range(BARE_RUNS):
        start = time.perf_counter()
        answer(server, request)
        took.append(1e3 * (time.perf_counter() - start))
    return median(took)


def ray_table(result: Mapping[str, Any]) -> str:
    """Markdown, with machine, date and command under it."""
    lines = table_head(("nodes", "requests/s", "right", "others", "p50 ms", "cores idle meanwhile"))
    for row in result["rows"]:
        right = row["outcomes"].get("right", 0)
        others = sum(row["outcomes"].values()) - right
        lines.append(
            f"| {row['nodes']} | {row['requests_per_s']:.1f} | {right} | {others} | {row['p50_ms']:.0f} | "
            f"{row['idle_cores']:.2f} |"
        )
    machine = result["machine"]
    note = (
        f"{result['network']}, a plan of {result['bare_ms']:.0f} ms; {result['clients']} clients. Two nodes give "
        f"{result['ratio']:.2f} times the rate of one (medians); {WANTED} are asked for where two cores are free. "
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_average']:.1f} at the end, "
        f"{machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the files and print the table."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("output", type=Path)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=4)
    print(ray_table(run(**vars(parser.parse_args(arguments)))))


if __name__ == "__main__":
    main()
