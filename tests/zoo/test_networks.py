"""The zoo's networks: `cipherpress models` states their figures; models load from any place or an error says why."""

import hashlib
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cipherpress.zoo.datasets import load_data
from cipherpress.zoo.loading import ModelSource, fresh_model, load_model, source_of
from cipherpress.zoo.networks import WEIGHTS, ZOO, describe_models, weights_manifest
from cipherpress.zoo.training import Recipe, save_trained, train_spec
from compress.dataset import Dataset
from compress.errors import DataError, ModelError
from compress.training.loop import accuracy

FLOORS = {
    "mlp": 0.98,
    "cnn": 0.989,
    "lenet300": 0.985,
    "lenet5": 0.99,
    "lenet5-caffe": 0.99,
    "vit": 0.985,
    "vit-fashion": 0.89,
}


@pytest.fixture(scope="module")
def data():
    """Data sets by name, each read once; a test whose data set is not installed is skipped."""
    held = {}

    def load(name):
        if name not in held:
            try:
                held[name] = load_data(name)
            except DataError as error:
                pytest.skip(str(error))
        return held[name]

    return load


@pytest.mark.parametrize("name", ZOO)
def test_accuracy_on_all_test_images_is_what_models_says(name, data):
    images = data(ZOO[name].data)
    found = accuracy(load_model(name), images.x_test, images.y_test)
    row = next(row for row in describe_models() if row["name"] == name)
    assert row["images"] == len(images.x_test) == 10_000
    assert abs(found - row["accuracy_plain"]) <= 5e-4  # another processor may break a tie differently
    assert found >= FLOORS[name]


@pytest.mark.parametrize("name", ZOO)
def test_the_weights_are_the_ones_the_manifest_describes(name):
    made = weights_manifest()[name]
    assert hashlib.sha256((WEIGHTS / f"{name}.safetensors").read_bytes()).hexdigest() == made["sha256"]
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 1.8e6
    assert made["recipe"] == asdict(ZOO[name].recipe)
    assert made["command"].startswith(f"cipherpress train {name} --data {ZOO[name].data} ")


def test_parameters_are_counted():
    assert {row["name"]: row["parameters"] for row in describe_models()}["mlp"] == 784 * 64 + 64 + 64 * 10 + 10


FACTORY = """
from torch import nn

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))

def number():
    return 3

def broken():
    raise KeyError("weights are in the other cupboard")

def leaving():
    raise SystemExit(3)
"""

DATACLASS_FACTORY = """
from __future__ import annotations
from dataclasses import dataclass
from torch import nn

@dataclass
class Sizes:
    outputs: int = 5

def net():
    return nn.Linear(4, Sizes().outputs)
"""


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(FACTORY)
    return path


def test_a_factory_file_gives_a_module_and_remembers_where_it_came_from(factory):
    module = fresh_model(f"{factory}:net")
    assert isinstance(module, nn.Sequential) and not module.training
    assert source_of(module) == ModelSource("factory", "net", "own.py", hashlib.sha256(FACTORY.encode()).hexdigest())
    assert source_of(nn.ReLU()).kind == "python"
    assert source_of(load_model("mlp")) == ModelSource("zoo", "mlp")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nosuch", "neither a zoo network"),
        ("missing.py:net", "missing.py not found"),
        ("{file}:nothing", "defines no function 'nothing'"),
        ("{file}:number", "number\\(\\) returned int; it must return an nn.Module"),
        ("{file}:leaving", "own.py line 14, SystemExit: 3"),
        ("{file}:broken", "own.py line 11, KeyError: 'weights are in the other cupboard'"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(spec, message, factory):
    with pytest.raises(ModelError, match=message):
        load_model(spec.format(file=factory))


def test_a_factory_file_may_use_dataclasses(tmp_path):
    (tmp_path / "sizes.py").write_text(DATACLASS_FACTORY)
    assert fresh_model(f"{tmp_path / 'sizes.py'}:net").out_features == 5


def test_a_file_that_is_not_python_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ModelError, match="notes.txt is not a Python file"):
        load_model(f"{tmp_path / 'notes.txt'}:net")
    (tmp_path / "slip.py").write_text("def net(:\n")
    with pytest.raises(ModelError, match=r"SyntaxError.*slip.py, line 1"):
        load_model(f"{tmp_path / 'slip.py'}:net")


def test_weights_load_from_safetensors_and_from_a_state_dict(factory, tmp_path):
    state = {"1.weight": torch.ones(2, 4), "1.bias": torch.zeros(2)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        assert load_model(f"{factory}:net", tmp_path / name)[1].weight.eq(1).all()


class Sneaky:
    def __reduce__(self):
        return print, ("this must never run",)


def test_weights_that_do_not_fit_say_which(factory, tmp_path, capsys):
    spec = f"{factory}:net"
    with pytest.raises(ModelError, match="file not found"):
        load_model(spec, tmp_path / "none.pt")
    torch.save({"1.weight": torch.ones(2, 4)}, tmp_path / "part.pt")
    with pytest.raises(ModelError, match=r"missing \['1.bias'\]"):
        load_model(spec, tmp_path / "part.pt")
    torch.save({"1.weight": torch.ones(2, 5), "1.bias": torch.zeros(2)}, tmp_path / "shape.pt")
    with pytest.raises(ModelError, match=r"'1.weight' has shape \(2, 5\), the model needs \(2, 4\)"):
        load_model(spec, tmp_path / "shape.pt")
    torch.save(Sneaky(), tmp_path / "sneaky.pt")
    with pytest.raises(ModelError, match="would run code from the file, which is refused"):
        load_model(spec, tmp_path / "sneaky.pt")
    assert "never run" not in capsys.readouterr().out
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ModelError, match="holds no state dict"):
        load_model(spec, tmp_path / "list.pt")
    torch.save({1: torch.zeros(2), "1.bias": torch.zeros(2)}, tmp_path / "keys.pt")
    with pytest.raises(ModelError, match="holds no state dict"):
        load_model(spec, tmp_path / "keys.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "part.pt").read_bytes()[:200])
    with pytest.raises(ModelError, match="not a complete state dict"):
        load_model(spec, tmp_path / "cut.pt")
    for value in (float("nan"), 1j):
        torch.save({"1.weight": torch.full((2, 4), value), "1.bias": torch.zeros(2)}, tmp_path / "value.pt")
        with pytest.raises(ModelError, match="'1.weight' holds values that are not finite real numbers"):
            load_model(spec, tmp_path / "value.pt")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(ModelError, match="not a complete safetensors file"):
        load_model(spec, tmp_path / "cut.safetensors")


def test_training_is_repeatable_and_writes_weights_that_load_back(factory, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.random((64, 1, 2, 2)).astype(np.float32)
    y = (x.sum(axis=(1, 2, 3)) > 2).astype(np.int64)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    data = load_data(str(tmp_path / "d.npz"))
    runs = [train_spec(f"{factory}:net", data, seed=3, epochs=2) for _ in range(2)]
    assert all(
        torch.equal(a, b)
        for a, b in zip(runs[0].trained.module.parameters(), runs[1].trained.module.parameters(), strict=True)
    )
    record = save_trained(runs[0], tmp_path / "out")
    assert record["recipe"]["epochs"] == 2 and "--epochs 2" in record["command"]
    loaded = load_model(f"{factory}:net", tmp_path / "out" / "model.safetensors")
    assert torch.equal(loaded[1].weight, runs[0].trained.module[1].weight)
    assert isinstance(runs[0].recipe, Recipe)


def test_labels_without_an_output_are_refused_before_training(factory):
    images = np.ones((4, 1, 2, 2), dtype=np.float32)
    reported = []
    with pytest.raises(DataError, match=r"data 'far': the largest label is 12, but .* 0 to 1 only \(outputs: 2\)"):
        train_spec(
            f"{factory}:net",
            Dataset("far", images, [0, 1, 2, 12], images, [0, 1, 2, 3]),
            progress=lambda label, share: reported.append(label),
        )
    assert reported == []
