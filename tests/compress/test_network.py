"""The frozen Network in numpy computes what torch computes, in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from strategies import Residual, SmallNetwork, small_networks
from torch import nn

from compress.conversion.exporting import export_network
from compress.errors import CalibrationError, InputShapeError
from compress.graph.modules import PolynomialActivation
from compress.network import Affine, Conv, Dense, Weights


def close(network: SmallNetwork) -> None:
    """Exporting changes no output by more than 1e-9 of the largest one."""
    images = network.images(7, seed=3)
    wanted = network.outputs(images)
    frozen = export_network(network.module, network.input_shape, network.images())
    assert frozen.output_shape == wanted.shape[1:]
    np.testing.assert_allclose(frozen.run(images), wanted, rtol=0, atol=1e-9 * max(1.0, np.abs(wanted).max()))


LAYERS = {
    "linear": (nn.Linear(5, 3), (5,)),
    "linear without bias": (nn.Linear(5, 3, bias=False), (5,)),
    "linear over the last axis": (nn.Linear(5, 3), (2, 5)),
    "conv1d": (nn.Conv1d(2, 3, 3), (2, 7)),
    "conv1d stride padding dilation": (nn.Conv1d(2, 3, 3, stride=2, padding=2, dilation=2), (2, 9)),
    "conv2d": (nn.Conv2d(2, 3, 3), (2, 5, 6)),
    "conv2d uneven everything": (nn.Conv2d(2, 4, (3, 2), (2, 1), (1, 2), (1, 2), groups=2), (2, 7, 6)),
    "conv2d depthwise": (nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), (4, 5, 5)),
    "conv2d same": (nn.Conv2d(1, 2, (3, 5), padding="same", dilation=(2, 1)), (1, 6, 6)),
    "conv2d valid": (nn.Conv2d(1, 2, 3, padding="valid"), (1, 6, 6)),
    "avgpool1d": (nn.AvgPool1d(3, 2, 1), (2, 8)),
    "avgpool2d": (nn.AvgPool2d(2), (2, 5, 6)),
    "avgpool2d padded": (nn.AvgPool2d(3, stride=2, padding=1), (2, 6, 6)),
    "adaptive 1d": (nn.AdaptiveAvgPool1d(2), (2, 6)),
    "adaptive 2d": (nn.AdaptiveAvgPool2d((1, 3)), (2, 5, 6)),
    "adaptive 2d keeps an axis": (nn.AdaptiveAvgPool2d((None, 3)), (2, 5, 6)),
    "batchnorm alone": (nn.BatchNorm2d(3), (3, 4, 4)),
    "polynomial": (PolynomialActivation(np.array([0.3, -1.0, 0.7]), centre=0.4, width=1.7), (4,)),
    "polynomial a channel": (PolynomialActivation(np.arange(6.0).reshape(3, 2) - 2.0, 0.1, 2.0), (2, 3, 3)),
    "quartic": (PolynomialActivation(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), 0.1, 2.0), (2, 3)),
    "residual": (Residual(nn.Conv2d(2, 2, 3, padding=1)), (2, 4, 4)),
    "flatten and back": (nn.Sequential(nn.Flatten(), nn.Linear(8, 8), nn.Unflatten(1, (2, 4))), (2, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_alone_equals_torch(name):
    layer, shape = LAYERS[name]
    torch.manual_seed(1)
    if isinstance(layer, nn.BatchNorm2d):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2.0)
    close(SmallNetwork(layer.double().eval(), shape))


@settings(max_examples=60, deadline=None)
@given(small_networks(max_layers=6, max_activations=3))
def test_random_stacks_equal_torch(network):
    close(network)


def test_normalization_disappears_into_the_layer_before_it():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    norm.running_mean.normal_()
    norm.weight.data = torch.tensor([1.5, -0.5, 0.0])
    module = nn.Sequential(nn.Conv2d(1, 3, 3), norm, nn.Flatten(), nn.Linear(12, 2), nn.BatchNorm1d(2)).double().eval()
    network = SmallNetwork(module, (1, 4, 4))
    frozen = export_network(module, (1, 4, 4), network.images())
    assert [type(node).__name__ for node in frozen.nodes] == ["Input", "Conv", "Reshape", "Dense"]
    close(network)


def test_normalization_of_a_value_read_twice_stays_a_node_of_its_own():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.other = nn.Conv1d(2, 2, 1), nn.Conv1d(2, 2, 1)
            self.norm = nn.BatchNorm1d(2)

        def forward(self, x):
            y = self.conv(x)
            return self.other(y) + self.norm(y)

    module = Net().double().eval()
    network = SmallNetwork(module, (2, 5))
    frozen = export_network(module, (2, 5), network.images())
    assert isinstance(frozen.node("norm"), Affine)
    close(network)


def test_ranges_are_the_extremes_and_rms_of_every_edge():
    module = nn.Sequential(nn.Linear(2, 1, bias=False)).double()
    module[0].weight.data = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    frozen = export_network(module, (2,), np.array([[1.0, 0.0], [0.0, 1.0]]))
    edge = frozen.ranges["0"]
    assert (edge.low, edge.high) == (-2.0, 1.0)
    assert edge.rms == pytest.approx(np.sqrt(5 / 2))
    assert set(frozen.ranges) == {node.name for node in frozen.nodes}


def test_values_are_codes_times_steps_and_pruned_weights_are_zero():
    module = nn.Linear(3, 2).double()
    weights = export_network(module, (3,), np.eye(3)).nodes[1].weights
    assert weights.bits is None
    np.testing.assert_array_equal(weights.values(), module.weight.detach().numpy())


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (np.zeros((0, 3)), "no calibration data"),
        (np.ones((4, 3)), "every calibration value is 1"),
        (np.array([[0.0, np.nan, 1.0]]), "1 of 3 calibration values are not finite"),
    ],
)
def test_calibration_data_that_says_nothing_is_refused(images, text):
    with pytest.raises(CalibrationError, match=f"layer 'input': {text}"):
        export_network(nn.Linear(3, 2).double(), (3,), images)


def test_calibration_names_the_layer_that_overflows():
    module = nn.Sequential(nn.Linear(1, 1), PolynomialActivation(np.array([0.0, 0.0, 1.0]))).double()
    module[0].weight.data.fill_(1e200)
    with np.errstate(over="ignore"), pytest.raises(CalibrationError, match="layer '1': values overflow"):
        export_network(module, (1,), np.array([[1.0], [2.0]]))


def test_an_input_of_another_shape_is_refused():
    frozen = export_network(nn.Linear(3, 2).double(), (3,), np.eye(3))
    with pytest.raises(InputShapeError, match=r"shape \(4,\).*takes \(3,\)"):
        frozen.run(np.zeros((2, 4)))


def test_a_module_called_twice_gives_two_nodes():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            return self.fc(self.fc(x))

    module = Net().double()
    network = SmallNetwork(module, (3,))
    frozen = export_network(module, (3,), network.images())
    assert [node.name for node in frozen.nodes] == ["input", "fc", "fc#2"]
    assert all(isinstance(node, (Dense, Conv)) for node in frozen.nodes[1:])
    close(network)


def test_nothing_in_a_network_can_be_written_to():
    codes, mask = np.ones((2, 3), dtype=np.int8), np.ones((2, 3), dtype=bool)
    weights = Weights(codes, np.array(0.5), 2, mask)
    dense = Dense(name="0", inputs=("input",), shape=(2,), weights=weights, bias=np.zeros(2))
    for array in (weights.codes, weights.step, weights.mask, dense.bias):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    codes[:] = 7  # the caller's arrays stay writable
    assert weights.codes.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert Weights(weights.codes, weights.step).codes is weights.codes
