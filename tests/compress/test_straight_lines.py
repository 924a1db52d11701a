"""Activations as straight lines: fitted by least squares, trained, and merged into one map when compiled."""

import numpy as np
import pytest
import torch
from torch import nn

import cipherpress as cp
from compress.conversion.convert import convert
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.errors import CompressError, ConfigError
from compress.network import Polynomial
from compress.press.sketch import sketched


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 12)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] ** 2 > 1).astype(np.int64)
    return Dataset("rows", x[:200], y[:200], x[200:], y[200:])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))


def test_a_line_is_the_least_squares_one_of_every_channel(model, data):
    network = convert(model, data, Conversion(epochs=0, straight=["3"]))
    assert [node.name for node in network.nodes if isinstance(node, Polynomial)] == ["1"]
    images = data.calibration(1024, 0).astype(np.float64)
    curved = convert(model, data, Conversion(epochs=0))
    seen = curved.run_all(images)["2"]  # the input of the second ReLU, after the polynomial of the first one
    line = network.run_all(images)["2"]  # the line folds into the layer before it
    for channel in range(6):
        slope, shift = np.polyfit(seen[:, channel], np.maximum(seen[:, channel], 0), 1)
        assert np.allclose(line[:, channel], slope * seen[:, channel] + shift, atol=1e-5)


def test_lines_are_trained_and_recorded(model, data):
    network = convert(model, data, Conversion(epochs=2, straight=["1"]))
    assert network.about["straight"] == ["1"]
    assert "1: ReLU -> one straight line per channel" in network.about["replaced"]
    untrained = convert(model, data, Conversion(epochs=0, straight=["1"]))
    assert not np.allclose(network.run(data.x_test), untrained.run(data.x_test))


def test_a_line_saves_a_square(model, data):
    curved, straight = (convert(model, data, Conversion(epochs=1, straight=lines)) for lines in ([], ["3"]))
    plans = [cp.compile(network, data, cp.Limits(max_error=0.5)).report for network in (curved, straight)]
    assert [plan["ciphertext_multiplications"] for plan in plans] == [2, 1]
    assert plans[1]["predicted_server_ms"] < plans[0]["predicted_server_ms"]


def test_a_name_that_is_not_an_activation_is_refused(model, data):
    with pytest.raises(ConfigError, match="straight: got '2'; allowed: an activation of the network: 1, 3"):
        convert(model, data, Conversion(epochs=0, straight=["2"]))


def test_a_sketch_has_masked_zeros_and_lines_through_both_ends_of_the_range(model, data):
    network = convert(model, data, Conversion(epochs=0))
    mask = np.ones((6, 8), dtype=bool)
    mask[:, 2] = False
    sketch = sketched(network, {"2": mask}, ["3"])
    assert not sketch.node("2").weights.values()[:, 2].any()
    assert np.array_equal(sketch.node("2").weights.values()[mask], network.node("2").weights.values()[mask])
    line, curve, seen = sketch.node("3").coefficients, network.node("3").coefficients, network.ranges["2"]
    assert line.shape == (2, 1)
    for end in (seen.low, seen.high):
        assert line[0, 0] + line[1, 0] * end == pytest.approx(sum(c * end**k for k, c in enumerate(curve[:, 0])))


@pytest.mark.parametrize(("masks", "lines", "named"), [({"9": np.ones((6, 8), dtype=bool)}, [], "9"), ({}, ["2"], "2")])
def test_a_sketch_of_a_missing_layer_is_refused(model, data, masks, lines, named):
    with pytest.raises(CompressError, match=f"layer '{named}'"):
        sketched(convert(model, data, Conversion(epochs=0)), masks, lines)
