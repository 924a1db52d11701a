"""Conversion for few rows and for regression: how long it trains, with which degree, and what it says of a loss."""

import logging
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from compress.conversion.collapse import score_warnings
from compress.conversion.convert import convert
from compress.conversion.friendly import replace_operations
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.graph.importing import import_model
from compress.graph.modules import ChannelAffine
from compress.press.pressing import with_epochs
from compress.press.setting import Setting
from compress.scores import Scoring
from compress.training.loop import fit_
from compress.training.schedule import Schedule

R2 = Scoring("regression", "r2")


@pytest.mark.parametrize(
    ("rows", "epochs", "batch_size"),
    [
        (60_000, 8, 256),  # MNIST: 8 epochs of 235 steps
        (32_000, 8, 256),  # 8 epochs of 125 steps are 1,000
        (31_744, 8, 128),  # 8 epochs of 124 steps would be 992
        (4000, 8, 32),  # 125 steps
        (3000, 11, 32),  # 94 steps
        (1437, 23, 32),  # 45 steps
        (105, 250, 32),  # 4 steps
        (20, 1000, 32),
    ],
)
def test_epochs_and_batches_follow_the_rows(rows, epochs, batch_size):
    assert Conversion().passes(rows) == {"epochs": epochs, "batch_size": batch_size}


def test_what_is_given_stays():
    assert Conversion(epochs=3, batch_size=16).passes(100) == {"epochs": 3, "batch_size": 16}
    assert Conversion(epochs=0).passes(100) == {"epochs": 0, "batch_size": 32}
    assert Conversion(batch_size=10).passes(100) == {"epochs": 100, "batch_size": 10}


def trained(model, data, *, epochs):
    torch.manual_seed(0)
    for part in model.modules():
        if isinstance(part, (nn.Linear, nn.BatchNorm1d)):
            part.reset_parameters()
    inputs, wanted = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train).float()[:, None]
    schedule = Schedule(epochs=epochs, learning_rate=1e-2, batch_size=32)
    fit_(model, inputs, wanted, schedule, loss=lambda outputs, targets, _: (outputs - targets).square().mean())
    return model


def regression(function, *, rows=700, scale=1.0):
    """Two features of which the first is `scale` times as large as the second; 200 rows more for tests."""
    x = np.random.default_rng(0).uniform(-1, 1, (rows + 200, 2))
    y = function(x)
    x = x * [scale, 1.0] + [scale, 0.0]
    return Dataset("waves", x[:rows], y[:rows], x[rows:], y[rows:], task="regression")


def waves(x):
    return np.sin(2.5 * x[:, 0]) + 0.3 * x[:, 1]  # one layer of quadratics gives parabolas, which follow no wave


def parabola(x):
    return x[:, 0] ** 2 - x[:, 1]


def net():
    return nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))


@cache
def fitted(function):
    """A regression of the function, and a network that was trained for it."""
    data = regression(function)
    return data, trained(net(), data, epochs=40)


def test_a_regression_that_quadratics_cannot_follow_gets_quartics():
    data, given = fitted(waves)
    about = convert(given, data).about
    assert about["degree"] == 4
    assert about["score_before"] > 0.95 and about["score_after"] > about["score_before"] - 0.03
    assert (about["epochs"], about["batch_size"]) == (46, 32)
    assert "warnings" not in about


def test_a_loss_of_r2_is_said(caplog):
    data, given = fitted(waves)
    with caplog.at_level(logging.WARNING):
        about = convert(given, data, Conversion(degree=2, epochs=8)).about
    assert about["degree"] == 2 and about["score_after"] < 0.9
    (said,) = about["warnings"]
    assert said.startswith(f"R2 fell from {about['score_before']:.3f} to {about['score_after']:.3f} on 200 test rows")
    assert "degree 4" in said and said in caplog.messages


def test_a_regression_that_quadratics_follow_keeps_them():
    data, given = fitted(parabola)
    about = convert(given, data).about
    assert about["degree"] == 2
    assert about["score_after"] > about["score_before"] - 0.02


def test_features_of_any_size_are_converted_alike():
    scores = []
    for scale in (1.0, 4096.0):  # a power of two: the given networks are the same up to rounding
        data = regression(parabola, scale=scale)
        about = convert(trained(net(), data, epochs=40), data, Conversion(degree=2, epochs=20)).about
        scores.append(about["score_after"])
    assert min(scores) > 0.95
    assert abs(scores[0] - scores[1]) < 0.01


def test_only_a_normalization_of_the_inputs_is_fixed():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1)).eval()
    student, _ = replace_operations(import_model(model, (2,)), torch.randn(50, 2))
    moves = [part.scale.requires_grad for part in student.modules() if isinstance(part, ChannelAffine)]
    assert moves == [False, True]


@pytest.mark.parametrize(("error", "said"), [(0.1, 0), (0.2, 0), (0.25, 1), (0.6, 1)])
def test_a_loss_of_more_than_a_twentieth_is_said(error, said):
    wanted = np.random.default_rng(0).normal(size=(2000, 1))
    noise = np.random.default_rng(1).normal(size=(2000, 1))
    warnings = score_warnings(R2, wanted, wanted + error * noise, wanted, 4)  # R2 is 1 - error^2
    assert len(warnings) == said
    assert not any("degree" in text for text in warnings)


def test_a_loss_that_luck_explains_is_not_said():
    wanted = np.random.default_rng(0).normal(size=(20, 1))
    noise = np.random.default_rng(1).normal(size=(20, 1))
    before, after = wanted + 0.8 * noise, wanted + 0.85 * noise
    assert R2.share(before, wanted) - R2.share(after, wanted) > 0.05 * R2.share(before, wanted)
    assert score_warnings(R2, before, after, wanted, 2) == []


def test_a_search_starts_with_the_epochs_of_its_rows():
    data = regression(parabola)
    shallow, deep = net(), nn.Sequential(*(part for _ in range(5) for part in (nn.Linear(2, 2), nn.ReLU())))
    setting = with_epochs(shallow, data, Setting())
    assert (setting.convert_epochs, setting.convert_batch_size) == (46, 32)
    assert with_epochs(deep, data, Setting()).convert_epochs == 8  # stable training has 100 steps in an epoch at least
    assert with_epochs(shallow, data, Setting(convert_epochs=3)) == Setting(convert_epochs=3)
