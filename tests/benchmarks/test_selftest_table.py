"""The table of random networks by family says what was refused and what was wrong."""

from dataclasses import replace

from benchmarks.selftest import selftest_table
from cipherpress.selftest.batched import BatchResult
from cipherpress.selftest.case import CaseResult
from cipherpress.selftest.judging import summary

GOOD = CaseResult(
    family="dense", seed=0, outcome="compiled", inputs=1000, largest_ratio=0.5, changed=3, promised=0.003,
    score_plain=0.9, score_converted=0.88, seconds=2.0, peak_rss_bytes=10**9,
)  # fmt: skip


def _table(*results: CaseResult) -> str:
    return selftest_table(
        {
            "machine": {"cpu": "a processor", "load_average": 0.5, "date": "2026-01-02"},
            "command": "cipherpress bench selftest -o DIR --images 200",
            **summary(results),
        }
    )


def test_a_good_family_has_a_row_and_nothing_below_the_note() -> None:
    table = _table(GOOD, replace(GOOD, seed=1, seal_plan="second", seal_inputs=100, seal_ratio=0.4, changed=0))
    assert "| dense | 2 | 0 | 2,000 | 0 | 0.50 | 0.50 | 1 | 1 | 0.40 | 3 | 6.0 | 0.020 | 2 | 1000 |" in table
    assert "2 networks, 2,000 inputs encrypted under the engine, 0 outside the bound of their bundle" in table
    assert "100 inputs under SEAL" in table
    assert "- " not in table.split("selftest -o DIR")[1]


def test_batches_are_a_second_table() -> None:
    assert "throughput mode" not in _table(GOOD)
    sent = BatchResult("compiled", inputs=400, largest_ratio=0.4, changed=1, promised=0.005)
    assert "| dense | 1 | 0 | 400 | 0 | 0.40 | 1 | 2.0 |" in _table(replace(GOOD, batched=sent))


def test_refusals_and_wrongs_are_listed() -> None:
    refused = CaseResult("dense", 1, "refused", "CompileError: too deep", seconds=1.0)
    table = _table(replace(GOOD, changed=None, promised=None, outside=3), refused)
    assert "| dense | 1 | 1 | 1,000 | 3 | 0.50 | 0.50 | 0 | 0 |  |  |  | 0.020 |" in table
    assert "- refused: dense, seed 1: CompileError: too deep" in table
    assert "- wrong: 3 of 1000 inputs lie outside the bound of their bundle; 1 in 10,000 may" in table
