"""A conversion that lost what the network knew, or whose values explode, is refused with the layer and the numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from compress.conversion.calibrate import calibrated
from compress.conversion.collapse import check_score, checked_outputs
from compress.conversion.convert import convert
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.errors import CollapseError
from compress.network import Affine, Input, Network, Polynomial, Range
from compress.scores import Scoring

CLASSES = Scoring("classes")
LABELS = np.arange(1000) % 4


def answers(right):
    """Outputs for LABELS of which so many are right, spread evenly over the classes."""
    return np.eye(4)[np.where(np.arange(1000) < right, LABELS, (LABELS + 1) % 4)]


@pytest.mark.parametrize(("before", "after"), [(900, 900), (900, 600), (900, 1000), (260, 240), (250, 100)])
def test_a_score_that_is_mostly_kept_passes(before, after):
    assert check_score(CLASSES, answers(before), answers(after), LABELS) is None


@pytest.mark.parametrize(("before", "after"), [(900, 500), (900, 250), (600, 400)])
def test_losing_more_than_half_of_what_is_above_chance_is_refused(before, after):
    words = rf"accuracy 0\.{before // 100}0* before and 0\.{str(after).rstrip('0')} after, on 1000 test rows, .* 0\.25"
    with pytest.raises(CollapseError, match=words):
        check_score(CLASSES, answers(before), answers(after), LABELS)


def test_a_loss_within_the_uncertainty_of_few_rows_passes():
    labels = np.arange(8) % 2
    first, second = np.eye(2)[labels], np.eye(2)[[0, 1, 0, 1, 0, 0, 1, 0]]
    assert check_score(CLASSES, first, second, labels) is None  # 8 of 8 and 5 of 8
    with pytest.raises(CollapseError, match="accuracy 1 before and 0 after"):
        check_score(CLASSES, first, np.eye(2)[1 - labels], labels)


def test_numbers_lose_r2():
    wanted = np.random.default_rng(0).normal(size=(300, 2))
    scoring = Scoring("regression", "mse")
    assert check_score(scoring, wanted, 0.9 * wanted, wanted) is None
    with pytest.raises(CollapseError, match=r"R2 1 before and -?0\.\d+ after"):
        check_score(scoring, wanted, 0.1 * wanted, wanted)


def squares(count, *, factor):
    """`count` squares in a row, each of `factor` times its input."""
    nodes = [Input(name="input", inputs=(), shape=(1,))]
    for number in range(count):
        source = nodes[-1].name
        line = {"scale": np.array(factor), "shift": np.array(0.0)}
        nodes.append(Affine(name=f"line{number}", inputs=(source,), shape=(1,), **line))
        curve = np.array([[0.0], [0.0], [1.0]])
        nodes.append(Polynomial(name=f"act{number}", inputs=(f"line{number}",), shape=(1,), coefficients=curve))
    return Network(nodes=tuple(nodes))


def test_values_that_explode_are_refused_at_the_first_layer_where_they_do():
    rows = np.linspace(-1, 1, 201)[:, None]
    network = calibrated(squares(4, factor=1.0), rows)
    assert checked_outputs(network, rows, "training").shape == (201, 1)
    # 1.45 is in the range of inputs still; its square is 2.1, the square of this 4.4, and of this 19.5
    with pytest.raises(
        CollapseError, match=r"layer 'act3': on 1 of 202 test rows its input leaves .* \(0 to 1\), up to 38"
    ):
        checked_outputs(network, np.vstack([rows, [[1.45]]]), "test")


def test_rows_that_lie_far_outside_the_inputs_say_nothing_about_the_network():
    rows = np.linspace(-1, 1, 201)[:, None]
    network = calibrated(squares(4, factor=1.0), rows)
    outputs = checked_outputs(network, np.vstack([rows, [[1e6]]]), "test")
    assert outputs[-1, 0] == 1e96


def test_a_value_that_overflows_is_refused_too():
    rows = np.linspace(-1, 1, 21)[:, None]
    network = calibrated(squares(12, factor=1.0), rows)
    with pytest.raises(CollapseError, match=r"layer 'act2': on 1 of 1 test rows .* up to 8\.86 half widths"):
        checked_outputs(network, np.array([[1.49]]), "test")
    wide = replace(
        network, ranges=network.ranges | {"input": Range(-1e300, 1e300, 1), "line0": Range(-1e300, 1e300, 1)}
    )
    with pytest.raises(CollapseError, match=r"layer 'act1': .*, up to inf half widths"):
        checked_outputs(wide, np.array([[1e200]]), "test")


def test_conversion_refuses_to_return_a_network_that_lost_its_accuracy():
    # a step function of one feature that repeats: no quadratic follows it
    x = np.random.default_rng(0).uniform(-8, 8, (600, 1)).astype(np.float32)
    y = (np.sin(3 * x[:, 0]) > 0).astype(np.int64)
    model = nn.Sequential(nn.Linear(1, 2), Waves())
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([[3.0], [-3.0]])
        model[0].bias.zero_()
    data = Dataset("waves", x, y, x, y)
    with pytest.raises(CollapseError, match=r"accuracy 1 before and 0\.\d+ after, on 600 test rows") as caught:
        convert(model, data, Conversion(epochs=1))
    assert caught.value.layer is None


class Waves(nn.Module):
    def forward(self, x):
        return -torch.sin(x)
