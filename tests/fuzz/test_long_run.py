"""The long run goes on where it ended, and keeps what it found."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import long_run, trial
from tests.fuzz.trial import Case


def _scripted(folder: Path) -> Case:
    """Seed 1,000,003 fails in a way that no container may, and seed 1,000,011 with an error of the wrong type."""
    from compress.errors import ConfigError, FormatError

    def case(random: Random) -> tuple[str, object]:
        state = random.getstate()

        def act() -> None:
            if state == Random(1_000_003).getstate():
                raise ZeroDivisionError
            if state == Random(1_000_011).getstate():
                raise ConfigError("field", 1, "2")
            raise FormatError("refused")

        return "scripted", act

    return case  # type: ignore[return-value]


def test_a_run_goes_on_and_names_its_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(long_run, "CONTAINERS", {"scripted": _scripted})
    monkeypatch.setattr(long_run, "SLICE", 5)
    monkeypatch.setattr(long_run, "WARM", 1)
    state = tmp_path / "state.json"
    assert long_run.main([str(state), "scripted", "--count", "10"]) == 1
    (row,) = json.loads(state.read_text()).values()
    assert row["done"] == 10 and row["outcomes"] == {"FormatError": 9}
    assert [fault.split(":")[0] for fault in row["faults"]] == ["seed 1000003 (scripted)"]
    row["at"] = 1_000_010  # as a process that died leaves it
    state.write_text(json.dumps({"scripted": {**row, "faults": []}}))
    assert long_run.main([str(state), "scripted", "--count", "20", "--results", str(tmp_path)]) == 1
    (row,) = json.loads(state.read_text()).values()
    assert row["faults"] == ["the process died between seeds 1000010 and 1000014"]
    assert row["done"] == 20 and row["outcomes"] == {"FormatError": 14}
    assert "| scripted | 20 | FormatError 14 |" in capsys.readouterr().out
    result = json.loads((tmp_path / "mutations.json").read_bytes())
    assert result["types"] == {"scripted": row}
    assert "20 mutations, 1 faults" in (tmp_path / "mutations.md").read_text()


def test_an_error_of_the_wrong_type_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_run, "SLICE", 5)
    run = long_run.Run(tmp_path / "state.json")
    run.row("scripted")["done"] = 10
    long_run.run_slice(run, "scripted", _scripted(tmp_path), 5)
    assert run.row("scripted")["faults"] == ["seeds from 1000010: error of the wrong type ConfigError"]


def test_a_run_that_is_told_to_stop_keeps_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[int] = []

    def stopping(random: Random) -> tuple[str, object]:
        return "stops", lambda: stopped.append(2) if random.getstate() == Random(1_000_003).getstate() else None

    monkeypatch.setattr(long_run, "CONTAINERS", {"stopping": lambda folder: stopping})
    monkeypatch.setattr(long_run, "STOPPED", stopped)
    monkeypatch.setattr(long_run, "SLICE", 5)
    monkeypatch.setattr(long_run, "WARM", 1)
    state = tmp_path / "state.json"
    assert long_run.main([str(state), "stopping", "--count", "100"]) == 0
    (row,) = json.loads(state.read_text()).values()
    assert row["done"] == 5 and row["outcomes"] == {"works": 5}


@pytest.mark.parametrize(("slow_times", "faults"), [(1, 0), (2, 1)])
def test_a_trial_that_is_stopped_is_tried_once_more(
    slow_times: int, faults: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "STOPPED_AFTER_SECONDS", 0.1)
    left = [5.0] * slow_times

    def case(random: Random) -> tuple[str, Callable[[], object]]:
        return "slow", lambda: time.sleep(left.pop() if left else 0.0)

    found = trial.run_trials(case, 1)
    assert len(found.faults) == faults and found.outcomes["works"] == 1 - faults
    assert all("seed 0 (slow): StoppedError" in fault for fault in found.faults)
