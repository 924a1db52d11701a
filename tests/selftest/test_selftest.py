"""The selftest finds what is wrong, and a small run of it finds nothing."""

import json
import os
import resource
import time
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from cipherpress.selftest import data, processes
from cipherpress.selftest.batched import BatchResult
from cipherpress.selftest.case import CaseResult, run_case, score
from cipherpress.selftest.families import FAMILIES
from cipherpress.selftest.judging import by_family, refusals, remarks, summary, wrongs
from cli import main

GOOD = CaseResult(
    family="dense", seed=0, outcome="compiled", inputs=1000, largest_ratio=0.5, changed=3, promised=0.003,
    score_plain=0.9, score_converted=0.88, seconds=2.0, peak_rss_bytes=10**9,
)  # fmt: skip


def test_a_promise_that_held_is_not_wrong() -> None:
    assert wrongs([GOOD]) == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (replace(GOOD, outcome="failed", reason="KeyError: 'x'"), "dense, seed 0: KeyError: 'x'"),
        (
            replace(GOOD, plan_error=2e-5),
            "dense, seed 0: the plan in clear differs from the network by 2e-05 of its rms",
        ),
        (replace(GOOD, seal_ratio=1.5), "dense, seed 0: under SEAL an error is 1.50 times the bound"),
        (replace(GOOD, changed=30), "dense, seed 0: 30 of 1000 classes changed, at most 0.30% were promised"),
        (replace(GOOD, outside=2), "2 of 1000 inputs lie outside the bound of their bundle; 1 in 10,000 may"),
    ],
)  # fmt: skip
def test_every_broken_promise_is_named(broken: CaseResult, message: str) -> None:
    assert wrongs([broken]) == [message]


def test_one_input_in_ten_thousand_may_lie_outside() -> None:
    assert wrongs([replace(GOOD, inputs=10000, outside=1, changed=None, promised=None)]) == []
    assert len(wrongs([replace(GOOD, inputs=10000, outside=2, changed=None, promised=None)])) == 1


def test_a_refusal_is_counted_but_not_wrong() -> None:
    refused = CaseResult("dense", 1, "refused", "CompileError: too deep", seconds=1.0, peak_rss_bytes=10**8)
    assert wrongs([GOOD, refused]) == []
    [row] = by_family([GOOD, refused])
    assert row == {
        "family": "dense", "networks": 2, "compiled": 1, "refused": 1, "failed": 0, "inputs": 1000, "outside": 0,
        "error_over_bound": 0.5, "loosest_error_over_bound": 0.5, "seal_networks": 0, "seal_second_plans": 0,
        "seal_error_over_bound": None,
        "changed": 3, "promised": 3.0, "score_lost": pytest.approx(0.02), "seconds": 2.0, "peak_mb": 1000.0,
    }  # fmt: skip
    assert refusals([GOOD, refused]) == ["dense, seed 1: CompileError: too deep"]


def test_batches_have_rows_bounds_and_refusals_of_their_own() -> None:
    sent = BatchResult("compiled", inputs=400, largest_ratio=0.4, changed=1, promised=0.005)
    deep = replace(GOOD, seed=1, batched=BatchResult("refused", "LevelBudgetError: too deep"))
    found = summary([replace(GOOD, batched=sent), deep])
    assert found["batch_rows"] == [
        {
            "family": "dense", "compiled": 1, "refused": 1, "inputs": 400, "outside": 0, "error_over_bound": 0.4,
            "changed": 1, "promised": 2.0,
        }
    ]  # fmt: skip
    assert found["refused"] == ["dense, seed 1, in batches: LevelBudgetError: too deep"]
    assert found["wrong"] == []
    assert summary([GOOD])["batch_rows"] == []
    wrong = [replace(GOOD, batched=replace(sent, changed=20)), replace(GOOD, batched=replace(sent, outside=2))]
    assert wrongs(wrong) == [
        "dense, seed 0, in batches: 20 of 400 classes changed, at most 0.50% were promised",
        "2 of 800 inputs in batches lie outside the bound of their bundle; 1 in 10,000 may",
    ]


def test_the_loosest_bound_of_a_family_is_shown() -> None:
    [row] = by_family([GOOD, replace(GOOD, largest_ratio=0.02)])
    assert (row["error_over_bound"], row["loosest_error_over_bound"]) == (0.5, 0.02)


def test_plans_of_seal_are_counted_and_their_refusals_named() -> None:
    same = replace(GOOD, seal_plan="same", seal_inputs=5, seal_ratio=0.3)
    second = replace(GOOD, seal_plan="second", seal_inputs=5, seal_ratio=0.4)
    none = replace(GOOD, seed=2, seal_plan="refused", seal_reason="PrecisionError: too large")
    found = summary([same, second, none])
    [row] = found["rows"]
    assert (row["seal_networks"], row["seal_second_plans"], row["seal_error_over_bound"]) == (2, 1, 0.4)
    assert (found["networks"], found["inputs"], found["seal_inputs"]) == (3, 3000, 10)
    assert remarks(found) == ["refused: dense, seed 2, plan for both backends: PrecisionError: too large"]


def test_remarks_name_what_is_wrong_after_what_is_refused() -> None:
    refused = CaseResult("dense", 1, "refused", "CompileError: too deep")
    assert remarks(summary([replace(GOOD, outside=2), refused])) == [
        "refused: dense, seed 1: CompileError: too deep",
        "wrong: 2 of 1000 inputs lie outside the bound of their bundle; 1 in 10,000 may",
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_draws_the_same_network_and_data_again(family: str) -> None:
    drawn = [FAMILIES[family](np.random.default_rng(3)) for _ in range(2)]
    assert str(drawn[0].module) == str(drawn[1].module)
    assert np.array_equal(drawn[0].data.x_train, drawn[1].data.x_train)
    assert np.array_equal(drawn[0].data.y_test, drawn[1].data.y_test)
    other = FAMILIES[family](np.random.default_rng(4))
    assert other.data.x_train.shape != drawn[0].data.x_train.shape or not np.array_equal(
        other.data.x_train, drawn[0].data.x_train
    )


def test_scores() -> None:
    rng = np.random.default_rng(0)
    classes = data.classes_of_features(rng, 50, 6, 3)
    assert score(np.eye(3)[np.asarray(classes.y_test)], classes) == 1.0
    two = data.one_of_two(rng, 50, 6)
    assert score(np.asarray(two.y_test, dtype=float)[:, None] - 0.5, two) == 1.0
    numbers = data.numbers_of_features(rng, 50, 6, 2)
    wanted = np.asarray(numbers.y_test, dtype=float)
    assert score(wanted, numbers) == 1.0
    assert score(np.broadcast_to(wanted.mean(axis=0), wanted.shape), numbers) == pytest.approx(0.0)


def test_one_network_end_to_end() -> None:
    result = run_case("few rows", 0, 20)
    assert (result.outcome, result.reason) == ("compiled", "")
    assert wrongs([result]) == []
    assert result.inputs == 20
    assert 0 < result.largest_ratio < 1
    assert (result.seal_plan, result.seal_inputs) == ("second", 2)
    assert result.seal_ratio is not None and 0 < result.seal_ratio < 1
    assert result.batched is not None and result.batched.outcome == "compiled"
    assert result.batched.inputs > 300 and 0 < result.batched.largest_ratio < 1


def _die(connection: object, family: str, seed: int, inputs: int) -> None:
    os._exit(7)


def test_a_case_whose_process_dies_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_send", _die)
    before = os.environ.get("OMP_NUM_THREADS")
    [result] = processes.run_cases([("dense", 0)], 1, 1, lambda label, share: None)
    assert (result.outcome, result.reason) == ("failed", "its process ended with status 7")
    assert os.environ.get("OMP_NUM_THREADS") == before


def _spin(connection: object, family: str, seed: int, inputs: int) -> None:
    used = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + 1, used + 9))
    while True:
        pass


def test_a_case_that_takes_too_long_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_send", _spin)
    [result] = processes.run_cases([("dense", 0)], 1, 1, lambda label, share: None)
    assert (result.outcome, result.reason) == ("failed", "took more than 900 s of processor time")


def test_a_case_that_waits_too_long_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "CLOCK_LIMIT_S", 0.0)
    [result] = processes.run_cases([("dense", 0)], 1, 1, lambda label, share: None)
    assert (result.outcome, result.reason) == ("failed", "took more than 0 s by the clock")


def test_an_unknown_family_is_refused() -> None:
    done = CliRunner().invoke(main, ["selftest", "--family", "dents"])
    assert done.exit_code == 1
    assert "family" in done.stderr
    assert "'dents'" in done.stderr
    assert "autoencoder" in done.stderr


@pytest.mark.slow
def test_a_regression_by_polynomials_of_degree_four_end_to_end() -> None:
    result = run_case("regression", 2, 20)
    assert (result.outcome, result.reason, result.degree) == ("compiled", "", 4)
    assert wrongs([result]) == []
    assert 0 < result.largest_ratio < 1


@pytest.mark.slow
def test_sixty_networks_keep_every_promise() -> None:
    done = CliRunner().invoke(main, ["selftest", "--json"])
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert done.exit_code == 0
    assert found["networks"] == 4 * len(FAMILIES)
    assert [row["family"] for row in found["rows"]] == list(FAMILIES)
    assert all(case["seal_plan"] in ("same", "second") for case in found["cases"] if case["outcome"] == "compiled")
    assert {case["degree"] for case in found["cases"] if case["family"] == "regression"} >= {2, 4}
