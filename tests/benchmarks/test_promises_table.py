"""The table of error bounds against fresh inputs: what it counts, what it says of refusals, that a run goes on."""

import json

import pytest

import benchmarks.promises as promises
from benchmarks.promise_networks import KINDS, rows
from benchmarks.promises import COUNTS, DEEP, DEPTHS, jobs, measured, promises_table, run

ROW = {
    "depth": 2, "rows": 300, "kind": "plain", "width": 12, "seed": 0, "images": 10_000, "refused": "",
    "refused_inputs": 0.0, "inputs": 10_000, "outside": 1, "wrapped": 0, "bound": 0.3, "bound_over_largest": 1.5,
    "grown_bound_over_largest": 1.7, "grown": 0.01, "bound_over_rows": 1.2, "rms": 1.0, "compile_seconds": 1.0,
    "seconds": 5.0,
}  # fmt: skip


def _table(*found):
    result = {"machine": {"cpu": "a processor", "date": "2026-01-02"}, "command": "cipherpress bench promises -o DIR"}
    return promises_table({**result, "rows": list(found)})


def test_every_depth_and_distribution_is_met_and_no_network_is_measured_twice():
    wanted = list(jobs())
    for depth in DEPTHS:
        own = {job["kind"] for job in wanted if job["depth"] == depth}
        assert own == set(KINDS) if depth < DEEP else len(own) == len(COUNTS)
    assert {job["rows"] for job in wanted if job["depth"] == DEPTHS[-1]} == set(COUNTS)
    assert len({json.dumps(job) for job in wanted}) == len(wanted)


def test_a_line_counts_the_networks_of_its_depth_and_rows():
    far = {**ROW, "kind": "heavy", "outside": 3, "bound_over_largest": 4.5, "bound_over_rows": 6.0, "grown": 0.03}
    refused = {**ROW, "kind": "mixed", "refused": "PrecisionError: layer 'fc2': too imprecise"}
    text = _table(ROW, far, refused)
    assert "| 2 | 300 | 3 | 2 | 1 | 2.00 | 3.0 | 3.0 | 4.5 | 2.00% | 1 |" in text
    assert "20,000 fresh inputs, 4 outside the bound of their answer (2.00 of 10,000)" in text
    assert text.endswith("- refused: 2 activations, 300 mixed rows: PrecisionError: layer 'fc2': too imprecise\n")
    assert "- refused" not in _table(ROW)


def test_a_network_is_measured_and_encrypted_runs_agree():
    found = measured({**ROW, "depth": 1, "rows": 60}, 400, 8)
    assert found["outside"] == found["wrapped"] == 0 and found["inputs"] + 400 * found["refused_inputs"] == 400
    assert found["bound_over_largest"] > 1 and found["encrypted"]["outside"] == 0
    assert 0.4 < found["encrypted"]["median_over_sampled"] < 2.5


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(promises, "jobs", lambda: iter([{"depth": n, "rows": 60, "kind": "plain"} for n in (1, 2, 3)]))
    monkeypatch.setattr(promises, "measured", lambda job, images, encrypted: done.append(job["depth"]) or ROW | job)
    first = run(tmp_path, images=7)
    assert done == [1, 2, 3] and len(first["rows"]) == 3
    assert run(tmp_path, images=7)["rows"] == first["rows"] and done == [1, 2, 3]
    assert "| 3 | 60 | 1 | 1 | 0 |" in (tmp_path / "promises.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_distribution_are_the_same_for_a_seed(kind):
    assert rows(kind, 5, 12, 3).shape == (5, 12)
    assert (rows(kind, 5, 12, 3) == rows(kind, 5, 12, 3)).all() and (rows(kind, 5, 12, 3) != rows(kind, 5, 12, 4)).any()
