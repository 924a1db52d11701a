"""A command ends with one line that says why a model cannot be found, read, converted or compiled."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from tests.cli.failing import fails
from tests.small_road import Road

BROKEN_MODELS = '''"""Networks that have no encrypted form."""

import torch
from torch import nn


def recurrent() -> nn.Module:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.out = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.lstm(x.flatten(1, 2))[0][:, -1])

    return Last()


def choosing() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Softmax(1), nn.Linear(8, 4))


def deep() -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, 8)]
    for _ in range(60):
        layers += [nn.ReLU(), nn.Linear(8, 8)]
    return nn.Sequential(*layers, nn.Linear(8, 4))


def broken() -> nn.Module:
    raise RuntimeError("this file\\nis not finished")


def number() -> int:
    return 3
'''


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "broken_models.py"
    path.write_text(BROKEN_MODELS)
    return path


@pytest.mark.parametrize(("factory", "named"), [("recurrent", "lstm"), ("choosing", "Softmax")])
def test_an_unsupported_layer_is_refused(road: Road, models: Path, factory: str, named: str) -> None:
    arguments = ("--random-weights", "--data", road.data, "-o", models.parent / "out")
    line = fails(models.parent, "convert", f"{models}:{factory}", *arguments)
    assert named.lower() in line.lower()


def test_too_deep_a_network_is_refused(road: Road, models: Path) -> None:
    arguments = ("--random-weights", "--data", road.data, "--epochs", 0, "-o", models.parent / "deep")
    line = fails(models.parent, "convert", f"{models}:deep", *arguments)
    assert "conversion lost what the network knew: " in line
    assert "make the network shallower" in line
    assert not (models.parent / "deep").exists()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("no-such-network", "mlp"),
        ("missing/folder", "no such folder"),
        ("missing.py:net", "not found"),
        ("{models}:absent", "absent"),
        ("{models}:broken", "this file is not finished"),
        ("{models}:number", "must return an nn.Module"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_refused(road: Road, models: Path, spec: str, said: str) -> None:
    model = spec.format(models=models)
    line = fails(models.parent, "compress", model, "--data", road.data, "-o", models.parent / "out")
    assert said in line


@pytest.mark.parametrize("command", ["compile", "estimate"])
def test_a_model_that_is_not_converted_is_refused(road: Road, tmp_path: Path, command: str) -> None:
    output = ("--data", road.data, "-o", tmp_path / "out") if command == "compile" else ()
    if command == "compile":
        assert "factory" in fails(tmp_path, command, road.path("small"), *output)
    else:
        assert "factory" in fails(tmp_path, command, road.path("small"))


def test_a_model_that_is_converted_already_is_refused(road: Road, tmp_path: Path) -> None:
    for name in ("friendly", "bundle"):
        line = fails(tmp_path, "compress", road.path(name), "--data", road.data, "-o", tmp_path / "out")
        assert "converted already" in line


def test_pickled_weights_are_refused(road: Road, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"1.weight": Payload()}, tmp_path / "state.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Payload()))
    for name in ("state.pt", "plain.pt"):
        weights = ("--weights", tmp_path / name)
        line = fails(tmp_path, "compress", road.factory, "--data", road.data, *weights, "-o", tmp_path / "out")
        assert name in line
        assert "torch.save(model.state_dict(), file)" in line
