"""Every command refuses data whose shape is not the network's, in one line."""

from pathlib import Path

import numpy as np
import pytest

from tests.small_road import Road, call


@pytest.fixture
def other(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows, labels = rng.uniform(size=(30, 5)).astype(np.float32), np.arange(30) % 3
    np.savez(tmp_path / "rows.npz", x_train=rows, y_train=labels, x_test=rows, y_test=labels)
    return tmp_path / "rows.npz"


@pytest.mark.parametrize(
    ("command", "artifact", "message"),
    [
        ("compile", "friendly", "calibration images: shape (5,); the network takes (1, 8, 8)"),
        ("infer", "bundle", "input: shape (5,); the network takes (1, 8, 8)"),
    ],
)
def test_data_of_another_shape_is_refused(
    road: Road, other: Path, tmp_path: Path, command: str, artifact: str, message: str
) -> None:
    output = ("-o", tmp_path / "out") if command == "compile" else ()
    result = call(command, road.path(artifact), "--data", other, *output)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_compiling_a_bundle_is_refused(road: Road, tmp_path: Path) -> None:
    result = call("compile", road.path("bundle"), "--data", road.data, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "it is compiled already; give the converted network" in result.stderr
