"""Every task over the command line: what is printed, what stands in JSON, and data of every form in .npz files."""

import json
from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from secure.verify.roundtrip import clear_outputs
from tests.promised import check_round_trip
from tests.small_road import call, call_json

FACTORIES = '''"""Networks whose weights are functions of their data, so that they need no training."""

import torch
from torch import nn


def line() -> nn.Module:
    """One output: a smooth function of the first two features."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    net[2].weight.data.mul_(20.0)
    return net


def series() -> nn.Module:
    """Three classes of series of two channels."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(14)
        self.left, self.right = nn.Linear(4, 6), nn.Linear(3, 6)
        self.head = nn.Linear(12, 2)

    def forward(self, left, right):
        return self.head(torch.relu(torch.cat([self.left(left), self.right(right)], dim=1)))
'''


def module_of(folder: Path, name: str):
    """The factory of FACTORIES, written into the folder; and the module that it makes."""
    (folder / "nets.py").write_text(FACTORIES)
    namespace: dict = {}
    exec(compile(FACTORIES, "nets.py", "exec"), namespace)
    return f"{folder / 'nets.py'}:{name}", namespace[name]()


def outputs(module, *inputs):
    import torch

    with torch.no_grad():
        return module.eval()(*map(torch.from_numpy, inputs)).numpy()


def sent_rows(data: Path, count: int) -> np.ndarray:
    """The first test rows, which infer sends."""
    return cp.load_data(str(data)).x_test[:count]


def least_r2(bundle: Path, x: np.ndarray) -> float:
    """The least R2 of outputs whose errors are within the bundle's bound."""
    loaded = cp.load(bundle)
    least = 1 - loaded.client.predicted_logit_error**2 / clear_outputs(loaded, x).var()
    assert least > 0.5
    return least


def check_promised(bundle: Path, found: dict, x: np.ndarray) -> None:
    loaded = cp.load(bundle)
    check_round_trip(loaded, found, clear_outputs(loaded, x))


def press(folder: Path, factory: str, data: Path, *options: str):
    return call(
        "press", factory, "--random-weights", "--data", data, "-o", folder / "bundle",
        "--bits", "6", "--sparsity", "0.1", *options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("regression")
    factory, module = module_of(folder, "line")
    x = rng.normal(size=(400, 5)).astype(np.float32)
    y = outputs(module, x)[:, 0] + 150 + rng.normal(size=400)
    np.savez(folder / "data.npz", x=x, y=y)
    module[2].bias.data.add_(150.0)
    import torch

    torch.save(module.state_dict(), folder / "net.pt")
    done = call(
        "press", factory, "--weights", folder / "net.pt", "--data", folder / "data.npz", "-o", folder / "bundle"
    )
    assert done.exit_code == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder, x, y


def test_press_prints_r2_of_a_regression(regression) -> None:
    said = (regression[0] / "said.txt").read_text()
    assert "\nR2 0.9" in said and " on 80 test rows, in clear" in said and "accuracy" not in said


def test_infer_reports_the_score_of_the_task(regression) -> None:
    folder, _, _ = regression
    found = call_json("infer", folder / "bundle", "--data", folder / "data.npz", "--images", "40")
    assert (found["task"], found["score"]) == ("regression", "r2")
    assert found["score_plain"] > 0.9 and found["score_compressed"] > 0.8
    assert least_r2(folder / "bundle", sent_rows(folder / "data.npz", 40)) <= found["agreement"] < 1
    assert not {"accuracy_encrypted", "accuracy_plain", "classes", "predicted_disagreement"} & found.keys()
    assert found["max_logit_error"] <= found["predicted_logit_error"] < 0.05 * regression[2].std()


def test_infer_without_labels_compares_with_the_plan_in_clear(regression, tmp_path) -> None:
    folder, x, _ = regression
    np.savez(tmp_path / "rows.npz", x=x)
    found = call_json("infer", folder / "bundle", "--data", tmp_path / "rows.npz", "--images", "2")
    assert least_r2(folder / "bundle", sent_rows(tmp_path / "rows.npz", 2)) <= found["agreement"] < 1
    assert "score_encrypted" not in found


def test_decrypt_prints_the_number(regression, tmp_path) -> None:
    folder, x, _ = regression
    np.save(tmp_path / "x.npy", x[0])
    call_json("keygen", folder / "bundle", "-o", tmp_path / "keys")
    secret, public = tmp_path / "keys" / "secret.key", tmp_path / "keys" / "evaluation.key"
    call_json("encrypt", folder / "bundle", "--key", secret, "--input", tmp_path / "x.npy", "-o", tmp_path / "x.ct")
    call_json("run", folder / "bundle", "--key", public, "--input", tmp_path / "x.ct", "-o", tmp_path / "y.ct")
    found = call_json("decrypt", folder / "bundle", "--key", secret, "--input", tmp_path / "y.ct")
    assert found["task"] == "regression" and 100 < found["outputs"][0] < 200 and "class" not in found


def test_verify_counts_no_classes_of_a_regression(regression) -> None:
    folder, _, _ = regression
    options = ("--data", folder / "data.npz", "--images", "8", "--encrypted", "2", "--steps", "1")
    assert [row["classes_changed"] for row in call_json("verify", folder / "bundle", *options)["rows"]] == [None] * 3


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A classifier of (C, L) series, and text as labels."""
    rng = np.random.default_rng(2)
    folder = tmp_path_factory.mktemp("series")
    factory, module = module_of(folder, "series")
    x = rng.normal(size=(300, 2, 8)).astype(np.float32)
    labels = np.array(["calm", "rising", "wild"])[outputs(module, x).argmax(axis=1)]
    np.savez(folder / "data.npz", x_train=x[:240], y_train=labels[:240], x_test=x[240:], y_test=labels[240:])
    done = press(folder, factory, folder / "data.npz")
    assert done.exit_code == 0, done.stderr
    return folder, x, labels


@pytest.mark.parametrize("shape", [(2, 8), (1, 2, 8), (16,)])
def test_series_go_through_the_commands_and_classes_have_names(series, tmp_path, shape) -> None:
    folder, x, _ = series
    np.save(tmp_path / "x.npy", x[240].reshape(shape))
    call_json("keygen", folder / "bundle", "-o", tmp_path / "keys")
    secret, public = tmp_path / "keys" / "secret.key", tmp_path / "keys" / "evaluation.key"
    call_json("encrypt", folder / "bundle", "--key", secret, "--input", tmp_path / "x.npy", "-o", tmp_path / "x.ct")
    call_json("run", folder / "bundle", "--key", public, "--input", tmp_path / "x.ct", "-o", tmp_path / "y.ct")
    arguments = ("decrypt", folder / "bundle", "--key", secret, "--input", tmp_path / "y.ct")
    found = call_json(*arguments)
    assert found["class_name"] == ["calm", "rising", "wild"][found["class"]]
    assert found["class_name"] in call(*arguments).stdout


def test_infer_maps_text_as_the_bundle_does(series, tmp_path) -> None:
    folder, x, labels = series
    whole = call_json("infer", folder / "bundle", "--data", folder / "data.npz", "--images", "20")
    assert whole["accuracy_compressed"] >= 0.6 and whole["task"] == "classes"
    check_promised(folder / "bundle", whole, x[240:260])
    wild = labels == "wild"  # alone, "wild" would be class 0
    np.savez(tmp_path / "wild.npz", x_train=x[wild], y_train=labels[wild], x_test=x[wild], y_test=labels[wild])
    some = call_json("infer", folder / "bundle", "--data", tmp_path / "wild.npz", "--images", "10")
    assert some["accuracy_compressed"] >= 0.6
    check_promised(folder / "bundle", some, x[wild][:10])


def test_several_inputs_lie_in_one_file(tmp_path) -> None:
    rng = np.random.default_rng(3)
    factory, module = module_of(tmp_path, "Both")
    left, right = (rng.normal(size=(300, size)).astype(np.float32) for size in (4, 3))
    labels = outputs(module, left, right).argmax(axis=1) + 1  # numbered from 1
    np.savez(tmp_path / "data.npz", **{"x.left": left, "x.right": right, "y": labels})
    done = press(tmp_path, factory, tmp_path / "data.npz")
    assert done.exit_code == 0, done.stderr
    bundle = tmp_path / "bundle"
    found = call_json("infer", bundle, "--data", tmp_path / "data.npz", "--images", "20")
    assert found["accuracy_compressed"] >= 0.75
    check_promised(bundle, found, sent_rows(tmp_path / "data.npz", 20))
    np.savez(tmp_path / "one.npz", left=left[0], right=right[0])
    call_json("keygen", bundle, "-o", tmp_path / "keys")
    secret = tmp_path / "keys" / "secret.key"
    made = call_json("encrypt", bundle, "--key", secret, "--input", tmp_path / "one.npz", "-o", tmp_path / "x.ct")
    assert made["upload_bytes"] > 0
    wrong = call("encrypt", bundle, "--key", secret, "--input", tmp_path / "data.npz", "-o", tmp_path / "z.ct")
    assert wrong.exit_code == 1 and "the network takes left (4,), right (3,)" in wrong.stderr


def test_a_task_that_does_not_fit_is_refused(regression) -> None:
    folder, _, _ = regression
    factory = f"{folder / 'nets.py'}:line"
    data = ("--data", folder / "data.npz", "--task", "classes", "-o", folder / "other")
    done = call("convert", factory, "--random-weights", *data)
    assert done.exit_code == 1
    assert "task classes needs several outputs, and the network has 1; choose another task" in done.stderr


@pytest.mark.parametrize("method", ["opq", "blocks", "joint"])
def test_every_method_prints_the_score_of_a_regression(regression, tmp_path, method) -> None:
    folder, _, _ = regression
    factory = (f"{folder / 'nets.py'}:line", "--weights", folder / "net.pt", "--data", folder / "data.npz")
    options = ("--block", "inputs:1") if method == "blocks" else ()
    found = call_json("compress", *factory, "--method", method, "--sparsity", "0.2", *options, "-o", tmp_path / "small")
    assert (found["task"], found["score"]) == ("regression", "r2")
    assert found["score_plain"] > 0.9 and found["score_compressed"] > 0.5


def test_train_reports_the_score_of_a_regression(regression, tmp_path) -> None:
    folder, _, _ = regression
    factory = f"{folder / 'nets.py'}:line"
    record = call_json("train", factory, "--data", folder / "data.npz", "--epochs", "2", "-o", tmp_path / "trained")
    assert record["score"] == "r2" and "score_plain" in record and "accuracy_plain" not in record


UNSUPPORTED = '''"""Networks with a layer that has no encrypted form."""

import torch
from torch import nn


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(10, 4), nn.Linear(20, 3)

    def forward(self, x):
        return self.out(self.words(x.long()).flatten(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells, self.out = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.cells(x.unsqueeze(1))[0][:, -1])
'''


@pytest.mark.parametrize(("name", "layer"), [("Words", "long"), ("Recurrent", "cells")])
def test_press_refuses_a_layer_by_name_before_it_trains(tmp_path, name, layer):
    rng = np.random.default_rng(4)
    (tmp_path / "nets.py").write_text(UNSUPPORTED)
    data = tmp_path / "data.npz"
    np.savez(data, x=rng.normal(size=(60, 5)).astype(np.float32), y=np.arange(60) % 3)
    done = press(tmp_path, f"{tmp_path / 'nets.py'}:{name}", data)
    assert done.exit_code == 1
    assert f"layer '{layer}': " in done.stderr and "has no encrypted form; " in done.stderr
    assert "training" not in done.stderr and "Traceback" not in done.stderr


def test_press_logs_what_few_rows_cannot_support(tmp_path, caplog) -> None:
    rng = np.random.default_rng(5)
    factory, module = module_of(tmp_path, "series")
    x = rng.normal(size=(60, 2, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=outputs(module, x).argmax(axis=1))
    done = press(tmp_path, factory, tmp_path / "data.npz")
    assert done.exit_code == 0, done.stderr
    said = [record.getMessage() for record in caplog.records if record.name == "cipherpress.pressed"]
    assert len(said) == 1 and "rows cannot show less than" in said[0] and "give more test rows" in said[0]


PAIR = '''"""Two inputs, and two outputs by name."""

import torch
from torch import nn


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right, self.size = nn.Linear(4, 2), nn.Linear(3, 2), nn.Linear(4, 1)

    def forward(self, left, right):
        return {"sum": self.left(left) + self.right(right), "size": self.size(left)}
'''


def test_decrypt_names_the_outputs_and_encrypt_the_parts_it_wants(tmp_path) -> None:
    rng = np.random.default_rng(6)
    (tmp_path / "nets.py").write_text(PAIR)
    left, right = (rng.normal(size=(100, size)).astype(np.float32) for size in (4, 3))
    np.savez(tmp_path / "data.npz", **{"x.left": left, "x.right": right})
    done = press(tmp_path, f"{tmp_path / 'nets.py'}:Pair", tmp_path / "data.npz")
    assert done.exit_code == 0, done.stderr
    bundle, secret = tmp_path / "bundle", tmp_path / "keys" / "secret.key"
    call_json("keygen", bundle, "-o", tmp_path / "keys")
    np.save(tmp_path / "left.npy", left[0])
    wrong = call("encrypt", bundle, "--key", secret, "--input", tmp_path / "left.npy", "-o", tmp_path / "x.ct")
    assert wrong.exit_code == 1 and "give its parts left (4,), right (3,) as a tuple, by name, or in" in wrong.stderr
    np.savez(tmp_path / "one.npz", left=left[0], right=right[0])
    call_json("encrypt", bundle, "--key", secret, "--input", tmp_path / "one.npz", "-o", tmp_path / "x.ct")
    public = tmp_path / "keys" / "evaluation.key"
    call_json("run", bundle, "--key", public, "--input", tmp_path / "x.ct", "-o", tmp_path / "y.ct")
    said = call("decrypt", bundle, "--key", secret, "--input", tmp_path / "y.ct").stdout.splitlines()
    assert [line.split()[:-1] for line in said[1:]] == [["sum", "0"], ["sum", "1"], ["size"]]


def test_a_probability_is_pressed_to_a_logit_and_scored_by_its_own_border(tmp_path) -> None:
    rng = np.random.default_rng(7)
    (tmp_path / "nets.py").write_text(FACTORIES + PROBABILITY)
    namespace: dict = {}
    exec(compile(FACTORIES + PROBABILITY, "nets.py", "exec"), namespace)
    x = rng.normal(size=(400, 5)).astype(np.float32)
    given = outputs(namespace["probability"](), x)[:, 0]
    np.savez(tmp_path / "data.npz", x=x, y=np.where(given > 0.5, "yes", "no"))
    done = call(
        "press", f"{tmp_path / 'nets.py'}:probability", "--random-weights", "--data", tmp_path / "data.npz",
        "--sparsity", "0.1", "--bits", "6", "-o", tmp_path / "bundle", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    about = json.loads(done.stdout)["about"]
    assert about["score_plain"] == 1.0 and about["score_after"] > 0.9
    assert (about["task"], about["threshold"], about["class_names"]) == ("binary", 0.0, ["no", "yes"])
    assert len(about["dropped"]) == 1 and "outputs are logits" in about["dropped"][0]


PROBABILITY = '''

def probability() -> nn.Module:
    """The probability that a smooth function of five features is positive."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
'''
