"""Networks made for one ciphertext, on small images: trained, exported, compiled in both modes, refused."""

import numpy as np
import pytest
import torch
from torch import nn

import cipherpress as cp
from compress.dataset import Dataset
from compress.errors import ConfigError, DataError, ModelError
from compress.front import front_of
from compress.native.layers import Learned, best_step, rounded
from compress.native.options import Native
from compress.network import Dense, Polynomial
from compress.training.loop import accuracy
from secure.plan import Kind
from tests.promised import check_round_trip

#: Shorter than by default, so that a test takes seconds.
SHORT = Native(features=32, hidden=(24,), epochs=40, copies=2, learn_from="labels")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return cp.load_data("digits")


@pytest.fixture(scope="module")
def given(digits: Dataset) -> nn.Module:
    """A small network that knows digits."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    cp.train(module, digits, cp.Recipe(epochs=30, augment=False))
    return module


@pytest.fixture(scope="module")
def network(given: nn.Module, digits: Dataset) -> cp.Network:
    return cp.native(given, digits, SHORT)


def test_it_is_about_as_good_as_the_given_network(network, given, digits) -> None:
    about = network.about
    assert about["score_before"] == accuracy(given, digits.x_test, digits.y_test)
    assert about["score_after"] == np.mean(network.run(digits.x_test).argmax(axis=1) == digits.y_test)
    assert about["score_after"] >= about["score_before"] - 0.02
    assert about["native"]["learned_from"] == "labels" and about["test_images"] == len(digits.x_test)
    assert about["native"]["epochs"] == 40 and about["native"]["batch_size"] == len(digits.x_train) // 16


def test_it_is_linear_layers_of_codes_and_squares_behind_a_front_end(network, digits) -> None:
    front = front_of(network)
    assert front is not None and front.features == 32
    layers = [node for node in network.nodes if isinstance(node, Dense)]
    assert [node.shape for node in layers] == [(24,), (10,)]
    for layer in layers:
        assert layer.weights.codes.dtype == np.int8 and np.abs(layer.weights.codes).max() < 2 ** (SHORT.bits - 1)
        assert float(layer.weights.step) == 2.0 ** round(np.log2(float(layer.weights.step)))
    squares = [node for node in network.nodes if isinstance(node, Polynomial)]
    assert [node.coefficients.ravel().tolist() for node in squares] == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_it_runs_encrypted(network, digits, mode) -> None:
    bundle = cp.compile(network, digits, mode=mode)
    assert bundle.client.input_shape == (32,) and bundle.client.interface.front == front_of(network)
    images, labels = digits.x_test[:60], digits.y_test[:60]
    result, clear = cp.round_trip(bundle, images, labels), network.run(images)
    check_round_trip(bundle, result, clear)
    assert result["accuracy_compressed"] == pytest.approx(np.mean(clear.argmax(axis=1) == labels), abs=0.02)


def test_press_does_both_steps(given, digits) -> None:
    options = Native(features=16, hidden=(12, 8), epochs=20, copies=0, bits=8, learn_from="teacher")
    bundle = cp.press(given, digits, native=options)
    about = bundle.report["about"]
    assert about["native"]["learned_from"] == "teacher" and list(about["native"]["hidden"]) == [12, 8]
    assert about["accuracy_plain"] == accuracy(given, digits.x_test, digits.y_test)
    assert sum(op.kind == Kind.SQUARE for op in bundle.server.plan.ops) == 2


def test_the_lesson_is_chosen_on_held_out_rows(given, digits) -> None:
    made = cp.native(given, digits, Native(features=16, hidden=(12,), epochs=10, copies=0)).about["native"]
    held_out = made["held_out"]
    assert set(held_out) == {"labels", "teacher"} and held_out[made["learned_from"]] == max(held_out.values())


def test_without_labels_the_given_networks_classes_are_learned(given, digits) -> None:
    unlabelled = Dataset("unlabelled", digits.x_train, None, digits.x_test, None)
    network = cp.native(given, unlabelled, SHORT)
    assert network.about["native"]["learned_from"] == "teacher" and network.about["score_before"] == 1.0
    assert network.about["score_after"] > 0.9


def test_colour_images() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 3
    images = rng.normal(0, 0.3, (400, 3, 9, 7)).astype(np.float32)
    images[np.arange(400), labels] += 0.5  # the class is the brightest colour
    data = Dataset("colours", images[:300], labels[:300], images[300:], labels[300:])
    torch.manual_seed(0)
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    cp.train(module, data, cp.Recipe(epochs=20, augment=False, learning_rate=0.1))
    network = cp.native(module, data, Native(features=24, hidden=(8,), epochs=30, copies=1))
    assert network.input_shape == (3, 9, 7)
    assert network.about["score_after"] >= network.about["score_before"] - 0.02 > 0.9


def test_rounding_keeps_what_was_learned() -> None:
    torch.manual_seed(0)
    learned = Learned(6, (5, 4), 3)
    rows = torch.randn(400, 6)
    learned(rows)  # the normalizations see some rows
    learned.eval()
    exact = rounded(learned, 12)
    with torch.no_grad():
        torch.testing.assert_close(exact(rows), learned(rows), atol=0.02, rtol=0.02)


def test_the_step_is_the_closest_power_of_two() -> None:
    weight = torch.tensor([[1.0, -0.5, 0.25, 3.0]])
    assert best_step(weight, 12) == -2 and best_step(weight, 3) == 0


def test_flat_rows_and_other_tasks_are_refused(given, digits) -> None:
    flat = Dataset("flat", digits.x_train.reshape(-1, 64), digits.y_train, digits.x_test.reshape(-1, 64), digits.y_test)
    with pytest.raises(DataError, match=r"rows of shape \(64,\); a native network takes images"):
        cp.native(given, flat)
    numbers = Dataset("n", digits.x_train, digits.x_train[:, 0, 4, 4:5], digits.x_test, digits.x_test[:, 0, 4, 4:5])
    with pytest.raises(ModelError, match="for task regression; a native network names classes"):
        cp.native(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), numbers)
    with pytest.raises(ModelError, match="model: got str"):
        cp.native("mlp", digits)
    with pytest.raises(ConfigError, match=r"native.features: got 65; allowed: at most 64 for images of shape"):
        cp.native(given, digits, Native(features=65))
    with pytest.raises(ConfigError, match="setting: got 'Setting'; allowed: None with native"):
        cp.press(given, digits, cp.Setting(), native=SHORT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("features", 1),
        ("hidden", ()),
        ("hidden", (8, 8, 8, 8)),
        ("hidden", "64"),
        ("bits", 2),
        ("epochs", -1),
        ("learning_rate", 0.0),
        ("batch_size", 0),
        ("rounded_epochs", -0.1),
        ("weight_decay", float("nan")),
        ("noise", float("inf")),
        ("label_smoothing", 1.0),
        ("copies", 65),
        ("distortion", 3.0),
        ("learn_from", "both"),
    ],
)
def test_options_out_of_range_are_refused(field, value) -> None:
    with pytest.raises(ConfigError, match=f"native.{field}: got .* allowed: "):
        Native(**{field: value})
