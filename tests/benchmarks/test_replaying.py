"""The client that replays requests tells right answers from wrong ones, and failures from a queue that is full."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest

from benchmarks import calibrating
from benchmarks.process_use import cpu_s, filled_pages, huge_bytes, memory_row, pss_bytes, rss_bytes
from benchmarks.replaying import Connected, Recorded, outcome_rows, replay
from benchmarks.service_table import asked, service_table

LARGE = b"x" * 200_000


class _Scripted(BaseHTTPRequestHandler):
    """/right answers LARGE, /full 429, /broken nothing at all."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/broken":
            self.close_connection = True
            return
        full = self.path == "/full"
        self.send_response(429 if full else 200)
        if full:
            self.send_header("Retry-After", "0")
        content = b"" if full else LARGE
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Scripted) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_answers_are_told_apart(port: int, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("request", "large", "other")}
    for name, content in (("request", b"r" * 3_000_000), ("large", LARGE), ("other", LARGE[:-1] + b"y")):
        files[name].write_bytes(content)
    models = [
        Recorded(name, path, (files["request"],), (files[reply],))
        for name, path, reply in (
            ("good", "/right", "large"), ("bad", "/right", "other"), ("busy", "/full", "large"),
            ("lost", "/broken", "large"),
        )
    ]  # fmt: skip
    ours, theirs = Pipe()
    ours.send("go")
    replay(port, models, 0, 0.3, theirs)
    assert ours.recv() == "ready"
    found = ours.recv()
    outcomes = {(row["network"], row["outcome"]) for row in outcome_rows(found["outcomes"])}
    assert outcomes == {("good", "right"), ("bad", "wrong"), ("busy", "429 with Retry-After"), ("lost", "status 0")}
    assert found["outcomes"]["good", "right"] == len(found["took_ms"]["good"]) > 1
    assert found["cpu_s"] > 0


def test_a_server_that_is_gone_is_no_answer(port: int) -> None:
    connected = Connected(port)
    assert connected.ask("/right", b"body").body == LARGE
    connected.close()
    assert Connected(1).ask("/right", b"body").status == 0


def test_the_slope_of_memory_leaves_the_warm_up_out() -> None:
    times = [float(second) for second in range(0, 120, 2)]
    values = [10**6 * min(int(second), 30) + int(1e5 * second / 60) for second in times]
    row = memory_row("worker", times, values, 30.0)
    assert row["slope_bytes_per_min"] == pytest.approx(1e5, rel=0.01)
    assert (row["most_bytes"], row["end_bytes"]) == (max(values), values[-1])
    assert len(row["bytes"]) == len(row["seconds"]) <= 60
    assert row["flat"] and row["growth_bytes"] == pytest.approx(1e5 * 68 / 60, rel=0.02)
    growing = memory_row("worker", times, [size + 10**6 * number for number, size in enumerate(values)], 30.0)
    assert not growing["flat"]


def test_what_is_asked_of_a_load_is_judged_where_the_run_can_tell() -> None:
    result = json.loads((Path(calibrating.__file__).parent / "results" / "service.json").read_bytes())
    memory = [{**row, "growth_bytes": 1e6, "flat": True} for row in result["load"]["memory"]]
    networks = [{**row, "bare_ms": 1.05 * row["bare_cpu_ms"]} for row in result["load"]["networks"]]
    shares = {"share_of_bare_rate": 0.86, "share_without_clients": 0.88}
    load = {**result["load"], "memory": memory, "networks": networks, **shares, "seconds": 600.0}
    assert [holds for _, _, holds in asked(load)] == [True, True, True, True, True]
    assert [holds for _, _, holds in asked({**load, "seconds": 20.0})] == [True, True, True, None, True]
    growing = {**load, "memory": [*memory, {**memory[0], "process": "worker 9", "growth_bytes": 3e7, "flat": False}]}
    assert asked(growing)[3][1:] == ("at most +30.0 MB (worker 9)", False)
    assert asked({**load, "replaced_workers": 1})[3][2] is False
    assert asked({**load, "wrong_or_failed": 1})[0][2] is False
    below = asked({**load, "share_of_bare_rate": 0.84})
    assert [below[1][1:], below[2][1:]] == [("84.0%", False), ("88.0%", True)]
    assert asked({**load, "share_without_clients": 0.849})[2][1:] == ("84.9%", False)
    assert asked({**load, "full_queue": {**load["full_queue"], "other": [500]}})[4][2] is False


def test_a_process_that_has_ended_uses_nothing() -> None:
    gone = 2**22 + 1
    assert rss_bytes(gone) == pss_bytes(gone) == huge_bytes(gone) == cpu_s(gone) == 0


def test_huge_pages_are_a_part_of_what_is_resident() -> None:
    large = np.ones(1 << 22)
    own = os.getpid()
    assert 0 <= huge_bytes(own) <= rss_bytes(own) and large.nbytes < rss_bytes(own)
    assert 0 <= filled_pages() < 512


def test_rates_are_compared_on_a_quiet_machine_alone() -> None:
    result = json.loads((Path(calibrating.__file__).parent / "results" / "service.json").read_bytes())
    load = result["load"]
    for factor, shown in ((1.05, True), (3.0, False)):
        networks = [{**row, "bare_ms": factor * row["bare_cpu_ms"]} for row in load["networks"]]
        table = service_table({**result, "load": {**load, "networks": networks, "share_of_bare_rate": 9.8765}})
        assert ("| 988% |" in table) == shown
        assert ("shares of the bare rate are left out" in table) != shown
