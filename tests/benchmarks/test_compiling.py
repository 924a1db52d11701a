"""The table of what compiling takes, and the estimates beside the committed measurements."""

import json
from pathlib import Path

import pytest

from benchmarks.compiling import IMAGES, NETWORKS, compiling_table
from secure.compiling.estimate import estimate

RESULT = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "compiling.json").read_text())
ROWS = {row["network"]: row for row in RESULT["rows"]}
#: An estimate decides whether to refuse, so it may be off by this much and no more.
FACTOR = 3.0


@pytest.mark.parametrize("name", NETWORKS)
def test_the_estimate_is_near_what_was_measured(name):
    found, row = estimate(NETWORKS[name][0](), IMAGES), ROWS[name]
    assert 1 / FACTOR < found.peak_bytes / row["peak_bytes"] < FACTOR
    if row["outcome"] != "refused: PlanBudgetError":  # a budget ends a search early
        assert 1 / FACTOR < found.seconds / row["processor_seconds"] < FACTOR


def test_small_networks_keep_to_a_minute_and_two_gigabytes_and_the_residual_one_to_twice_that():
    small = [row for row in ROWS.values() if row["multiply_adds"] <= 300_000]
    assert len(small) >= 5
    assert all(row["processor_seconds"] < 60 and row["peak_bytes"] < 2e9 for row in small)
    residual = ROWS["two residual blocks, 8 channels, 3x32x32"]
    assert residual["processor_seconds"] < 120 and residual["peak_bytes"] < 4e9


def test_the_committed_table_is_made_from_the_committed_rows():
    table = (Path(__file__).parents[2] / "benchmarks" / "results" / "compiling.md").read_text()
    assert table == compiling_table(RESULT)
    assert "| two residual blocks, 8 channels, 3x32x32 | 2,678,784 | 6 | compiled, N=16384, 194 ms | 53 |" in table
