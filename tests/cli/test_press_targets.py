"""press with a target: the network it finds runs, a missed target is one line, and the trials are saved."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from secure.verify.roundtrip import clear_outputs
from tests.promised import check_answers
from tests.small_road import call, call_json, write_data

FACTORY = '''"""Two hidden layers."""

from torch import nn


def deep() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))
'''


@dataclass(frozen=True)
class Deep:
    """A trained network with two activations, and its data."""

    folder: Path

    def press(self, output: Path, *options: str | float) -> tuple[str | Path, ...]:
        own = ("--model", f"{self.folder / 'deep.py'}:deep", "--data", self.folder / "data.npz", "--no-augment")
        error = () if "--max-disagreement" in options else ("--max-error", 0.5)
        return ("press", self.folder / "plain", *own, "--convert-epochs", 3, *error, *options, "-o", output)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Deep:
    folder = tmp_path_factory.mktemp("deep")
    (folder / "deep.py").write_text(FACTORY)
    write_data(folder / "clean.npz")
    arrays = dict(np.load(folder / "clean.npz"))
    for part in ("y_train", "y_test"):  # random labels, which no network can learn
        arrays[part][::7] = (arrays[part][::7] + 1) % 4
    np.savez(folder / "data.npz", **arrays)
    training = ("--data", folder / "data.npz", "--epochs", 20, "--learning-rate", 0.02)
    call_json("train", f"{folder / 'deep.py'}:deep", *training, "-o", folder / "plain")
    return Deep(folder)


@pytest.fixture(scope="module")
def dense(deep: Deep, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The result for the uncompressed network, which meets this target."""
    return call_json(*deep.press(tmp_path_factory.mktemp("dense") / "out", "--min-accuracy", 0.5, "--target-ms", 1e6))


def test_an_uncompressed_network_that_meets_the_target_is_not_compressed(dense: dict) -> None:
    assert dense["targets"]["met"] and len(dense["targets"]["trials"]) == 1
    assert dense["targets"]["trials"][0]["server_ms"] == pytest.approx(dense["predicted_server_ms"])
    assert dense["about"]["test_images"] == 80 and dense["about"]["accuracy_after"] > 0.6


@pytest.mark.slow
def test_batches_count_the_share_of_one_image(deep: Deep, tmp_path: Path) -> None:
    options = ("--mode", "throughput", "--min-accuracy", 0.5, "--search-trials", 2)
    found = call_json(*deep.press(tmp_path / "out", *options, "--target-ms", 1e6))
    [trial] = found["targets"]["trials"]
    assert found["mode"] == "throughput" and found["targets"]["met"]
    assert trial["server_ms"] == pytest.approx(1e-3 * found["predicted_us_per_image"])
    assert (trial["keys_bytes"], trial["upload_bytes"]) == (0, pytest.approx(found["upload_bytes"]))
    done = call(*deep.press(tmp_path / "fast", *options, "--target-ms", trial["server_ms"] / 100))
    assert done.exit_code == 1 and "server time failed" in done.stderr


@pytest.mark.slow
def test_the_network_found_keeps_the_limit_on_errors(deep: Deep, tmp_path: Path) -> None:
    found = [
        call_json(*deep.press(tmp_path / str(limit), "--min-accuracy", 0.5, "--target-ms", 1e6, "--max-error", limit))
        for limit in (5.0, 1e-3)
    ]
    loose, strict = (one["predicted_logit_error"] for one in found)
    assert strict <= 1e-3 < loose <= 5.0


def test_the_network_found_for_a_time_meets_it_and_runs_encrypted(deep: Deep, dense: dict, tmp_path: Path) -> None:
    limit = 0.8 * dense["predicted_server_ms"]
    options = ("--min-accuracy", 0.5, "--target-ms", limit)
    found = call_json(*deep.press(tmp_path / "out", *options))
    assert found["predicted_server_ms"] <= limit and found["targets"]["met"]
    assert json.loads((tmp_path / "out" / "targets.json").read_text()) == found["targets"]
    assert (tmp_path / "out" / "targets.svg").read_text().startswith("<?xml")
    bundle = cp.load(tmp_path / "out")
    client, server = cp.Client(bundle.client), cp.Server(bundle.server)
    server.register(client.evaluation_key)
    data = cp.load_data(str(deep.folder / "data.npz"))
    answers = [client.decrypt(server.run(client.encrypt(image))) for image in data.x_test[:4]]
    check_answers(bundle, answers, clear_outputs(bundle, data.x_test[:4]))


@pytest.mark.slow
def test_the_same_search_again_finds_the_same(deep: Deep, dense: dict, tmp_path: Path) -> None:
    options = ("--min-accuracy", 0.5, "--target-ms", 0.8 * dense["predicted_server_ms"], "--force")
    first, again = (call_json(*deep.press(tmp_path / "out", *options)) for _ in range(2))
    assert first["targets"] == again["targets"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param(("--min-accuracy", 0.5, "--target-ms", 0.01), "server time failed", marks=pytest.mark.slow),
        (("--min-accuracy", 1.0, "--target-ms", 1e6, "--search-trials", 1), "accuracy failed"),
        pytest.param(
            ("--min-accuracy", 0.5, "--target-keys", "10", "--target-upload", "10", "--search-trials", 1),
            "keys, upload failed",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_missed_target_is_an_error_that_names_what_failed(
    deep: Deep, tmp_path: Path, options: tuple, named: str
) -> None:
    result = call(*deep.press(tmp_path / "out", *options))
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("error: target not met") and named in lines[0]
    assert "on held-out images" in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_closest_network_is_saved_on_request(deep: Deep, tmp_path: Path) -> None:
    options = ("--min-accuracy", 0.5, "--target-ms", 0.01, "--search-trials", 1, "--keep-closest")
    result = call(*deep.press(tmp_path / "out", *options))
    assert result.exit_code == 1 and "the closest is saved in" in result.stderr
    assert not json.loads((tmp_path / "out" / "targets.json").read_text())["met"]
    assert isinstance(cp.load(tmp_path / "out"), cp.Bundle)


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--target-ms", 5), 2, "a target needs --min-accuracy"),
        (("--keep-closest",), 2, "a target needs --min-accuracy"),
        (("--min-accuracy", 0.9, "--sparsity", 0.5), 2, "leave out --sparsity"),
        (("--min-accuracy", 0.9, "--block", "inputs:1"), 2, "--block, --share and --cost"),
        (("--min-accuracy", 0.9, "--budget-keys", "1M"), 2, "instead of budgets"),
        (("--block", "inputs:1"), 1, "share: got 0.0; allowed: above 0 with a block"),
        (("--share", 0.5), 1, "share: got 0.5; allowed: above 0 with a block, 0 without one"),
        (("--block", "inputs:1", "--share", 1.5), 1, "share: got 1.5"),
        (("--block", "rings:3", "--share", 0.5), 1, "block: got 'rings:3'"),
        (("--min-accuracy", 98), 2, "not in the range"),
        (("--min-accuracy", 0.9, "--target-ms", 0), 1, "server_ms: got 0.0"),
        (("--min-accuracy", 0.9, "--family", "rings:3"), 1, "block: got 'rings:3'"),
    ],
)
def test_wrong_search_options_are_refused(deep: Deep, tmp_path: Path, options: tuple, status: int, said: str) -> None:
    result = call(*deep.press(tmp_path / "out", *options))
    assert result.exit_code == status and said in result.stderr
    assert not (tmp_path / "out").exists()
