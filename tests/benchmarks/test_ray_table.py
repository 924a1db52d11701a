"""The table of the Ray benchmark says what was measured, and what is asked."""

from __future__ import annotations

from benchmarks.ray_nodes import ray_table

ROW = {"nodes": 1, "requests_per_s": 8.0, "outcomes": {"right": 200}, "p50_ms": 400.0, "idle_cores": 0.61}
RESULT = {
    "command": "python -m benchmarks.ray_nodes DIR", "network": "lenet5", "bare_ms": 91.2, "clients": 4, "ratio": 1.75,
    "rows": [ROW, {**ROW, "nodes": 2, "requests_per_s": 14.0, "outcomes": {"right": 349, "status 500": 1}}],
    "machine": {"cpu": "a CPU", "cores": 2, "load_average": 0.5, "date": "2026-11-30"},
}  # fmt: skip


def test_every_row_and_the_ratio_are_shown() -> None:
    table = ray_table(RESULT)
    assert "| 1 | 8.0 | 200 | 0 | 400 | 0.61 |" in table
    assert "| 2 | 14.0 | 349 | 1 | 400 | 0.61 |" in table
    assert "1.75 times the rate of one (medians); 1.7 are asked for where two cores are free" in table
