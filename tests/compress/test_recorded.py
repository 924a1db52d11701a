"""Warnings of a result are logged once, and those of results that a search drops are not; scores are computed once."""

import logging

import numpy as np
import pytest
from torch import nn

import cipherpress as cp
from cipherpress import pressed
from cipherpress.selftest.case import train
from compress.dataset import Dataset
from compress.recorded import log_recorded, unlogged

logger = logging.getLogger("tests.recorded")


def test_a_recorded_warning_is_logged_once_and_not_in_a_search(caplog: pytest.LogCaptureFixture) -> None:
    log_recorded(logger, ["a", "b", "a"])
    assert caplog.messages == ["a", "b"]
    with unlogged():
        log_recorded(logger, ["c"])
    log_recorded(logger, ["d"])
    assert caplog.messages == ["a", "b", "d"]


@pytest.fixture(scope="module")
def small() -> tuple[nn.Module, Dataset]:
    """A network and data with one outlier, which conversion and compilation both name."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] ** 2 > 0.5).astype(np.int64)
    x[7, 3] = 1e4
    data = Dataset("rows", x[:300], y[:300], x[300:], y[300:])
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    train(module, data.without_outliers(), 0)
    return module, data


def test_press_logs_each_warning_once_and_scores_the_network_once(
    small: tuple[nn.Module, Dataset], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressed, "network_outputs", None)  # convert has the score
    bundle = cp.press(*small, cp.Setting(finetune_epochs=0, convert_epochs=2), augment=False)
    about = bundle.report["about"]
    assert about["score_after"] == about["accuracy_after"] and about["test_images"] == 100
    recorded = pressed.recorded_warnings(bundle)
    assert any("far outside the others" in said for said in recorded)
    assert [said for said in caplog.messages if said in recorded] == recorded


def test_a_search_logs_the_warnings_of_what_it_returns(
    small: tuple[nn.Module, Dataset], caplog: pytest.LogCaptureFixture
) -> None:
    found = cp.press_for(
        *small,
        cp.Target(min_accuracy=0.3),
        cp.Setting(sparsity=0.0, bits=None, finetune_epochs=0, convert_epochs=2),
        search=cp.Search(max_trials=3),
        augment=False,
    )
    assert len(found.as_json()["trials"]) > 1
    assert [said for said in caplog.messages if "far outside" in said or "classes:" in said] == (
        pressed.recorded_warnings(found.bundle)
    )
