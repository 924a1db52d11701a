"""One damaged training row changes neither what a network learns nor which inputs are accepted, and it is named."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

import cipherpress as cp
from compress.errors import CalibrationError
from tests.promised import check_round_trip

#: Test rows that are sent encrypted.
SENT = 60
CENTRES = 3 * np.random.default_rng(0).normal(size=(3, 6))


def rows(count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    return (CENTRES[labels] + rng.normal(size=(count, 6))).astype(np.float32), labels


@pytest.fixture(scope="module")
def data():
    return cp.Dataset("points", *rows(300, seed=1), *rows(400, seed=2))


@pytest.fixture(scope="module")
def model(data):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(net.parameters(), 2e-2)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(torch.as_tensor(data.x_train)), torch.as_tensor(data.y_train)).backward()
        optimizer.step()
    return net.eval()


def damaged(data):
    x = data.x_train.copy()
    x[11, 3] = 1e6
    return cp.Dataset("points", x, data.y_train, data.x_test, data.y_test)


def encrypted(model, data):
    """The network, its bundle, and a round trip of the first test rows, which holds what the bundle promises."""
    network = cp.convert(model, data, cp.Conversion(epochs=3))
    bundle = cp.compile(network, data)
    found = cp.round_trip(bundle, data.x_test[:SENT], data.y_test[:SENT])
    check_round_trip(bundle, found, network.run(data.x_test[:SENT]))
    return network, bundle, found


def without_row_11(data):
    kept = np.arange(len(data.x_train)) != 11
    return cp.Dataset("points", data.x_train[kept], data.y_train[kept], data.x_test, data.y_test)


@pytest.fixture(scope="module")
def undamaged(model, data):
    return encrypted(model, without_row_11(data))


def test_one_row_of_a_million_costs_no_accuracy_and_is_named_in_a_warning(model, data, undamaged, caplog):
    learned, clean, wanted = undamaged
    assert wanted["accuracy_compressed"] > 0.9
    assert not any("left out" in warning for warning in clean.report.get("warnings", ()))
    with caplog.at_level(logging.WARNING):
        network, bundle, found = encrypted(model, damaged(data))
    np.testing.assert_array_equal(
        network.run(data.x_test), learned.run(data.x_test)
    )  # as if the row had never been there
    assert found["accuracy_compressed"] == pytest.approx(wanted["accuracy_compressed"], abs=1 / SENT)
    assert found["predicted_logit_error"] == pytest.approx(wanted["predicted_logit_error"], rel=0.05)
    said = "data 'points': 1 row that lies far outside the others, of 300, left out: row 11 has 1e+06 in feature 3"
    assert network.about["warnings"][0].startswith(said)
    assert any(warning.startswith(said) for warning in bundle.report["warnings"])
    assert sum(message.startswith(said) for message in caplog.messages) == 2  # by convert and by compile
    assert f"warning   {said}" in bundle.explain()
    np.testing.assert_allclose(bundle.client.input_high, clean.client.input_high, rtol=0.05)


def test_the_test_rows_are_accepted_and_a_far_one_needs_clipping(undamaged, data):
    _, bundle, _ = undamaged
    far = data.x_test[:4].copy()
    far[2, 5] = 1e6
    with pytest.raises(cp.InputRangeError, match="image 2: input: feature 5 is 1e.06, accepted are"):
        cp.round_trip(bundle, far, data.y_test[:4])
    found = cp.round_trip(bundle, far, data.y_test[:4], clip=True)
    assert (found["clipped_images"], found["clipped_features"]) == (1, 1)


def test_calibration_and_training_rows_hold_no_outlier(data):
    bad = damaged(data)
    assert [(one.row, one.feature) for one in bad.outliers] == [(11, 3)]
    assert np.abs(bad.calibration(300)).max() < 100
    kept = bad.without_outliers()
    assert (len(kept.x_train), len(kept.y_train)) == (299, 299)
    np.testing.assert_array_equal(kept.x_train[11], bad.x_train[12])
    np.testing.assert_array_equal(kept.y_train[11], bad.y_train[12])
    assert data.without_outliers() is data
    np.testing.assert_array_equal(data.calibration(64, 3), data.x_train[np.sort(_drawn(300, 64, 3))])


def _drawn(rows, count, seed):
    return np.random.default_rng(seed).permutation(rows)[:count]


def test_compile_network_leaves_out_outliers_among_the_inputs_that_it_is_given(model, data):
    from secure.compiling.compile import compile_network
    from secure.kernels.counts import TYPICAL_TIMES

    network = cp.convert(model, data, cp.Conversion(epochs=0))
    bundle = compile_network(network, damaged(data).x_train.astype(float), times=TYPICAL_TIMES)
    said = "calibration inputs: 1 row that lies far outside the others, of 300"
    assert sum(warning.startswith(said) for warning in bundle.report["warnings"]) == 1
    assert bundle.client.input_high.max() < 100
    with pytest.raises(CalibrationError, match="a range needs finite values that vary"):
        compile_network(network, np.zeros((20, 6)), times=TYPICAL_TIMES)
