"""Every task goes through compression and conversion with its own loss and score, on real small data sets."""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.metrics import r2_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from compress.blocks.options import BlockPruning
from compress.blocks.prune import prune_blocks
from compress.conversion.convert import convert
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.errors import ConfigError, DataError
from compress.joint.quantize import joint_quantize
from compress.opq.curvature import weight_curvature
from compress.opq.opq import opq
from compress.press.pressing import pressed
from compress.press.setting import Setting
from compress.training.finetune import finetune
from compress.training.loop import fit_, predict
from compress.training.schedule import Schedule


def split(x, y):
    test = np.arange(len(x)) % 4 == 0
    return x[~test].astype(np.float32), y[~test], x[test].astype(np.float32), y[test]


def scaled(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def trained(module, x, y, loss, epochs=40):
    torch.manual_seed(0)
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    targets = torch.as_tensor(y)
    schedule = Schedule(epochs=epochs, learning_rate=1e-2, batch_size=32, weight_decay=1e-2)
    fit_(module, torch.from_numpy(x), targets, schedule, loss=lambda outputs, wanted, _: loss(outputs, wanted))
    return module.eval()


def squared(outputs, wanted):
    return ((outputs - wanted.reshape(outputs.shape)) ** 2).mean()


@cache
def diabetes():
    """A regression network whose outputs have the labels' own unit, mean 152 and deviation 77; and its data."""
    bunch = load_diabetes()
    rows = split(scaled(bunch.data), bunch.target.astype(np.float32))
    mean, spread = rows[1].mean(), rows[1].std()
    net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
    trained(net, rows[0], (rows[1] - mean) / spread, squared)
    with torch.no_grad():
        net[2].weight.mul_(float(spread))
        net[2].bias.mul_(float(spread)).add_(float(mean))
    return net, rows


def true_r2(outputs):
    return r2_score(diabetes()[1][3], outputs.reshape(-1))


@pytest.mark.parametrize(
    "kind",
    [pytest.param(np.float32, marks=pytest.mark.slow), np.float64, pytest.param(np.int64, marks=pytest.mark.slow)],
)
def test_one_output_is_regressed_on_numbers_of_any_type(kind):
    net, (x, y, x_test, y_test) = diabetes()
    network = convert(net, (x, y.astype(kind), x_test, y_test.astype(kind)))
    about = network.about
    assert (about["task"], about["score"]) == ("regression", "r2")
    assert about["score_before"] == pytest.approx(true_r2(predict(net, x_test)), abs=1e-3)
    assert about["score_after"] == pytest.approx(true_r2(network.run(x_test)), abs=1e-3)
    assert about["score_after"] > about["score_before"] - 0.02 and about["score_before"] > 0.4
    assert "accuracy_after" not in about


@pytest.mark.parametrize(
    "labels",
    [
        lambda count: np.zeros(count, np.int64),
        lambda count: np.arange(count) % 2,
        pytest.param(lambda count: np.full(count, 7), marks=pytest.mark.slow),
        lambda count: None,
    ],
    ids=["zeros", "alternating", "sevens", "none"],
)
def test_dummies_and_missing_labels_do_not_harm_a_regression(labels):
    net, (x, _, x_test, _) = diabetes()
    data = {"x_train": x, "y_train": labels(len(x)), "x_test": x_test, "y_test": labels(len(x_test))}
    network = convert(net, data)
    assert network.about["task"] == "none" and not network.about["labels_used"]
    assert network.about["score_before"] == 1.0 and network.about["score_after"] > 0.9
    assert true_r2(network.run(x_test)) > true_r2(predict(net, x_test)) - 0.02


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        pytest.param(np.int64, nn.Identity(), id="int64-logit"),
        pytest.param(np.float64, nn.Sigmoid(), id="float64-probability"),
        pytest.param(np.bool_, nn.Identity(), id="bool-logit"),
        pytest.param(np.int64, nn.Sigmoid(), id="int64-probability", marks=pytest.mark.slow),
        pytest.param(np.float64, nn.Identity(), id="float64-logit", marks=pytest.mark.slow),
        pytest.param(np.bool_, nn.Sigmoid(), id="bool-probability", marks=pytest.mark.slow),
    ],
)
def test_one_output_and_two_values_are_a_binary_classifier(kind, ending):
    bunch = load_breast_cancer()
    x, y, x_test, y_test = split(scaled(bunch.data), bunch.target)
    net = nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 1), ending)
    probable = isinstance(ending, nn.Sigmoid)
    loss = nn.functional.binary_cross_entropy if probable else nn.functional.binary_cross_entropy_with_logits
    trained(net, x, y.astype(np.float32)[:, None], loss, epochs=15)
    network = convert(net, (x, y.astype(kind), x_test, y_test.astype(kind)))
    about, border = network.about, 0.5 if probable else 0.0
    assert (about["task"], about["score"], about["threshold"]) == ("binary", "accuracy", 0.0)
    assert about["accuracy_before"] == np.mean((predict(net, x_test)[:, 0] > border) == y_test) > 0.95
    assert about["accuracy_after"] == about["score_after"] > about["accuracy_before"] - 0.02
    assert about["accuracy_after"] == np.mean((network.run(x_test)[:, 0] > 0) == y_test)
    assert len(about.get("dropped", ())) == probable == ("threshold_before" in about)


class Probability(nn.Module):
    """A sigmoid before reshapes, or with a scale that makes it part of a function of one value."""

    def __init__(self, ending):
        super().__init__()
        self.hidden, self.score, self.ending = nn.Linear(8, 6), nn.Linear(6, 1), ending

    def forward(self, x):
        return self.ending(self.score(torch.relu(self.hidden(x))))


@pytest.mark.parametrize(
    ("ending", "dropped"),
    [
        (lambda z: torch.sigmoid(z).squeeze(), True),
        (lambda z: z.sigmoid().view(-1), True),
        (lambda z: nn.functional.sigmoid(z.flatten(1) / 3), True),
        (lambda z: torch.sigmoid(2 * z + 1) - 0.1, False),
    ],
)
def test_a_last_sigmoid_of_a_classifier_is_dropped_however_it_is_written(ending, dropped):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 8)).astype(np.float32)
    torch.manual_seed(0)
    net = Probability(ending).eval()
    y = (predict(net, x).reshape(-1) > 0.5).astype(np.int64)
    network = convert(net, (x, y), Conversion(epochs=4))
    assert network.about["threshold"] == (0.0 if dropped else 0.5)
    assert ("dropped" in network.about) == dropped
    answers = network.run(x).reshape(-1) > network.about["threshold"]
    assert np.mean(answers == y) > 0.9 and network.about["accuracy_before"] == 1.0


def test_a_last_sigmoid_of_numbers_is_kept():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 8)).astype(np.float32)
    torch.manual_seed(0)
    net = Probability(torch.sigmoid).eval()
    network = convert(net, (x, predict(net, x)), Conversion(epochs=4))
    assert network.about["task"] == "regression" and "dropped" not in network.about
    assert 0 < network.run(x).min() + 0.1 and network.run(x).max() < 1.1


def test_two_targets_in_different_units_are_both_kept():
    _, (x, y, x_test, y_test) = diabetes()
    second = lambda rows: 1e-3 * (rows[:, 0] + rows[:, 1] * rows[:, 2])  # noqa: E731
    both, both_test = np.stack([y, second(x)], axis=1), np.stack([y_test, second(x_test)], axis=1)
    mean, spread = both.mean(axis=0), both.std(axis=0)
    net = trained(nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2)), x, (both - mean) / spread, squared)
    with torch.no_grad():
        net[2].weight.mul_(torch.from_numpy(spread)[:, None])
        net[2].bias.mul_(torch.from_numpy(spread)).add_(torch.from_numpy(mean))
    network = convert(net, (x, both, x_test, both_test))
    assert network.about["task"] == "regression"
    before, after = (r2_score(both_test, out, multioutput="raw_values") for out in (
        predict(net, x_test), network.run(x_test)))  # fmt: skip
    assert (after > before - 0.04).all() and before.min() > 0.4
    assert network.about["score_after"] == pytest.approx(after.mean(), abs=1e-6)
    alone = convert(net, (x, np.zeros(len(x), int), x_test, np.zeros(len(x_test), int)))
    assert (r2_score(both_test, alone.run(x_test), multioutput="raw_values") > before - 0.04).all()


@cache
def autoencoder():
    x = load_digits().images[:, None] / 16
    rows = split(x, load_digits().target)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 64),
        nn.Unflatten(1, (1, 8, 8)),
    )  # fmt: skip
    return trained(net, rows[0], rows[0], squared, epochs=30), rows


@pytest.mark.parametrize(
    "labels", [pytest.param("images", marks=pytest.mark.slow), pytest.param("none", marks=pytest.mark.slow), "classes"]
)
def test_an_autoencoder_keeps_its_error(labels):
    net, (x, y, x_test, y_test) = autoencoder()
    given = {"images": (x, x_test), "none": (None, None), "classes": (y, y_test)}[labels]
    network = convert(net, (x, given[0], x_test, given[1]))
    before, after = (float(np.mean((out - x_test) ** 2)) for out in (predict(net, x_test), network.run(x_test)))
    assert after < 1.5 * before and before < 0.04
    assert network.output_shape == (1, 8, 8)
    if labels == "images":
        assert (network.about["task"], network.about["score"]) == ("regression", "mse")
        assert network.about["score_after"] == pytest.approx(after, rel=1e-4)
    else:
        assert (network.about["task"], network.about["score"]) == ("none", "r2")
        assert network.about["score_after"] > 0.9


@cache
def wine():
    bunch = load_wine()
    rows = split(scaled(bunch.data), bunch.target)
    net = nn.Sequential(nn.Linear(13, 12), nn.ReLU(), nn.Linear(12, 3))
    return trained(net, rows[0], rows[1], nn.functional.cross_entropy, epochs=15), rows


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        (lambda y: y, None),
        (lambda y: y + 1, ["1", "2", "3"]),
        (lambda y: np.array(["a", "b", "c"])[y], list("abc")),
        (lambda y: y.astype(float), None),
        (lambda y: np.eye(3)[y], None),
    ],
    ids=["from 0", "from 1", "text", "floats", "one-hot"],
)  # fmt: skip
def test_labels_of_every_kind_make_the_same_network(changed, names):
    net, (x, y, x_test, y_test) = wine()
    wanted = convert(net, Dataset("wine", x, y, x_test, y_test), Conversion(epochs=3))
    network = convert(net, (x, changed(y), x_test, changed(y_test)), Conversion(epochs=3))
    np.testing.assert_array_equal(network.run(x_test), wanted.run(x_test))
    assert network.about["accuracy_after"] == wanted.about["accuracy_after"] > 0.9
    assert network.about.get("class_names") == names


def test_a_data_loader_is_taken():
    net, (x, y, _, _) = wine()
    loader = DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=16)
    about = convert(net, loader, Conversion(epochs=3)).about
    assert about["test_images"] == round(len(x) / 5) and about["accuracy_after"] > 0.9


def test_classes_without_labels_are_compared_with_the_given_network():
    net, (x, _, x_test, _) = wine()
    about = convert(net, Dataset("wine", x, None, x_test, None, task="classes")).about
    assert about["task"] == "classes" and about["accuracy_before"] == 1.0 and about["accuracy_after"] > 0.9


@pytest.mark.parametrize(
    "setting",
    [pytest.param(Setting(), marks=pytest.mark.slow), Setting(block="inputs:1", share=0.2)],
    ids=["opq", "blocks"],
)
def test_a_regression_is_pressed(setting):
    net, (x, y, x_test, y_test) = diabetes()
    network = pressed(net, Dataset("diabetes", x, y, x_test, y_test), setting)
    assert network.about["task"] == "regression"
    assert true_r2(network.run(x_test)) > true_r2(predict(net, x_test)) - 0.05
    unlabelled = pressed(net, Dataset("diabetes", x, None, x_test, None), setting)
    assert true_r2(unlabelled.run(x_test)) > true_r2(predict(net, x_test)) - 0.05


def test_curvature_of_a_linear_regression_equals_the_closed_form():
    """The Fisher information of normal answers with the outputs' deviation s is E[x_j^2] / s_k^2 (derived)."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 2)).eval()
    x = np.random.default_rng(0).normal(size=(40_000, 6)).astype(np.float32)
    y = predict(net, x)
    found = weight_curvature(net, Dataset("x", x, y, x[:10], y[:10]), images=40_000)["0"]
    wanted = (x**2).mean(axis=0)[None] / y[:5000].var(axis=0)[:, None]
    assert found == pytest.approx(wanted, rel=0.12)


@pytest.mark.parametrize("gradient", ["sampled", "labels", "outputs"])
def test_blocks_of_a_regression_are_scored_by_every_gradient(gradient):
    net, (x, y, x_test, y_test) = diabetes()
    config = BlockPruning(gradient=gradient)
    data = Dataset("diabetes", x, y, x_test, y_test)
    small = prune_blocks(net, data, sparsity=0.2, block="inputs:1", config=config)
    assert true_r2(predict(small.module, x_test)) > 0.3


def test_the_gradient_of_labels_needs_labels():
    net, (x, _, x_test, _) = diabetes()
    with pytest.raises(ConfigError, match="gradient: got 'labels'; allowed: sampled or outputs, because the data has"):
        prune_blocks(net, (x, None, x_test, None), block="inputs:1", config=BlockPruning(gradient="labels"))


def test_joint_quantization_states_the_score_of_the_task():
    net, (x, y, x_test, y_test) = diabetes()
    record = joint_quantize(net, (x, y, x_test, y_test)).history[-1]
    assert (record["task"], record["score"]) == ("regression", "r2")
    assert record["score_before"] == pytest.approx(true_r2(predict(net, x_test)), abs=1e-3)
    assert record["score_after"] > record["score_before"] - 0.05


def test_finetuning_learns_a_regression_from_labels_or_from_a_teacher():
    net, (x, y, x_test, y_test) = diabetes()
    small = opq(net, sparsity=0.8, bits=3)
    rough = true_r2(predict(small.module, x_test))
    from_labels = finetune(small, (x, y, x_test, y_test))
    from_teacher = finetune(small, (x, None, x_test, None), teacher=net)
    for better in (from_labels, from_teacher):
        assert true_r2(predict(better.module, x_test)) > rough + 0.01
    assert from_labels.history[-1]["score"] == "r2" and from_teacher.history[-1]["task"] == "none"


def test_finetuning_without_labels_and_teacher_is_refused():
    net, (x, _, x_test, _) = diabetes()
    with pytest.raises(DataError, match="it has no labels that fit the network's outputs, and there is no teacher"):
        finetune(opq(net), (x, None, x_test, None))
