"""The benchmark of one thread against two: what it measures of a bundle, and its table."""

import json

import numpy as np

from benchmarks.threads import measure, threads_table
from tests.secure.plans import small_bundle


def test_every_bundle_is_measured_and_written_down(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    images = np.random.default_rng(0).uniform(-1, 1, (3, 4, 8))
    result = measure({"small": small_bundle(), "other": small_bundle(seed=1)}, images, tmp_path, "a command")
    assert [row["network"] for row in result["rows"]] == ["small", "other"]
    assert all(min(row["server_ms"], row["server_ms_two"], row["ratio"]) > 0 for row in result["rows"])
    assert json.loads((tmp_path / "threads.json").read_text())["rows"] == result["rows"]
    assert (tmp_path / "threads.md").read_text() == threads_table(result)


def test_the_table_says_the_ratio_and_the_load():
    row = {"network": "mlp", "server_ms": 4.04, "server_ms_two": 2.71, "ratio": 0.6712, "load_average": 1.25}
    machine = {"cpu": "a processor", "cores": 2, "date": "2026-01-02"}
    lines = threads_table({"rows": [row], "images": 60, "command": "bench", "machine": machine}).splitlines()
    assert lines[2] == "| mlp | 4.0 | 2.7 | 0.67 | 1.2 |"
    assert (
        lines[-1].startswith("Medians over the first 60 test digits")
        and "a processor, 2 cores, 2026-01-02, `bench`" in lines[-1]
    )
