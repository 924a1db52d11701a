"""Deep networks keep their accuracy, their masks and their steps, and their values stay small."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from compress.conversion.convert import convert
from compress.conversion.friendly import replace_operations
from compress.conversion.options import Conversion
from compress.conversion.stable import depth, fold_, normalized_activation, recalibrate_
from compress.dataset import Dataset
from compress.graph.importing import import_model
from compress.graph.modules import NormalizedActivation, PolynomialActivation
from compress.model.codebook import bits_levels
from compress.model.quantizer import quantize_layer_
from compress.network import Dense, Polynomial
from tests.compress.digits import digits, trained


def dense(activations, width=64):
    torch.manual_seed(0)
    layers, inputs = [], 64
    for _ in range(activations):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(width, 10))


def convolutions(activations, channels=8):
    torch.manual_seed(0)
    layers, inputs = [], 1
    for _ in range(activations):
        layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
        inputs = channels
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * channels, 10))


def largest(network, rows):
    """The largest value that an activation reads on the rows, in half widths of its calibrated range."""
    values = network.run_all(rows)
    found = []
    for node in network.nodes:
        if isinstance(node, Polynomial):
            edge = network.ranges[node.inputs[0]]
            found.append(np.abs(values[node.inputs[0]]).max() / max(-edge.low, edge.high))
    return max(found)


def test_twelve_activations_in_a_row_keep_their_accuracy():
    data = digits()
    model = trained(dense(12), data)
    network = convert(model, data, Conversion(epochs=3))
    about = network.about
    assert about["recipe"] == "stable"
    assert about["score_before"] > 0.85
    assert about["score_after"] > about["score_before"] - 0.04
    assert largest(network, data.x_test) < 2.0
    assert sum(isinstance(node, Polynomial) for node in network.nodes) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "shape"), [(dense(14, 64), (64,)), (convolutions(6), (1, 8, 8)), (convolutions(8), (1, 8, 8))]
)
def test_deeper_and_convolutional_networks_keep_their_accuracy(model, shape):
    data = digits(shape)
    network = convert(trained(model, data), data)
    about = network.about
    assert about["score_after"] > about["score_before"] - 0.02
    assert largest(network, data.x_test) < 2.0


def test_masks_and_steps_of_compressed_layers_do_not_move():
    data = digits()
    model = trained(dense(6, 16), data, steps=200)
    masks = []
    for layer in model:
        if isinstance(layer, nn.Linear):
            size = layer.weight.detach().abs()
            masks.append((size > 0.5 * size.median()).numpy())
            quantize_layer_(layer, masks[-1], np.array(-4), bits_levels(5))
    network = convert(model, data, Conversion(epochs=1))
    assert network.about["recipe"] == "stable"
    layers = [node for node in network.nodes if isinstance(node, Dense)]
    for node, mask in zip(layers, masks, strict=True):
        assert np.issubdtype(node.weights.codes.dtype, np.integer)
        assert not node.weights.codes[~mask].any()
        assert float(node.weights.step) == 2.0**-4


def student_of(model, data):
    imported = import_model(copy.deepcopy(model), data.input_shape)
    student, said = replace_operations(imported, torch.from_numpy(data.x_train[:500]), fit=normalized_activation)
    return student.eval(), said


def test_the_student_starts_as_the_given_network():
    data = digits()
    model = trained(dense(6), data, steps=100)
    student, said = student_of(model, data)
    x = torch.from_numpy(data.x_test)
    with torch.no_grad():
        torch.testing.assert_close(student(x), model(x), rtol=1e-4, atol=1e-3)
    assert said[0] == "1: ReLU -> polynomial of degree 2"


def test_folded_activations_compute_what_the_normalized_ones_do():
    data = digits()
    student, _ = student_of(dense(3).eval(), data)
    recalibrate_(student, torch.from_numpy(data.x_train[:500]))
    x = torch.from_numpy(data.x_test)
    with torch.no_grad():
        wanted = student(x)
        fold_(student)
        torch.testing.assert_close(student(x), wanted, rtol=1e-4, atol=1e-4)
    kinds = {type(part) for part in student.modules()}
    assert PolynomialActivation in kinds and NormalizedActivation not in kinds


def test_in_training_inputs_of_a_quadratic_end_at_eight_half_widths():
    square = PolynomialActivation(np.array([0.0, 0.0, 1.0]), centre=1.0, width=2.0)
    x = torch.tensor([[1.0, 3.0, 16.0, 18.0, -16.0, 1e30]], requires_grad=True)
    np.testing.assert_allclose(square.train()(x).detach(), [[0.0, 1.0, 56.25, 64.0, 64.0, 64.0]])
    square.excess.backward()
    assert x.grad[0, :2].tolist() == [0, 0] and (x.grad[0, 2:].sign() == torch.tensor([1, 1, -1, 1])).all()
    np.testing.assert_allclose(square.eval()(x[:, :-1]).detach(), [[0.0, 1.0, 56.25, 72.25, 72.25]])


def test_recalibration_measures_every_layer_after_those_before_it():
    data = digits()
    student, _ = student_of(dense(4).eval(), data)
    rows = torch.from_numpy(data.x_train[:800])
    recalibrate_(student, rows)
    inputs = {}
    for name, part in student.named_modules():
        if isinstance(part, NormalizedActivation):
            part.register_forward_hook(lambda module, given, _, name=name: inputs.__setitem__(name, (module, given[0])))
    with torch.no_grad():
        student(rows)
    assert len(inputs) == 4
    for module, values in inputs.values():
        torch.testing.assert_close(module.running_mean, values.mean(0), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(module.running_var, values.var(0), rtol=1e-2, atol=1e-4)


def test_the_fit_of_a_channel_is_that_of_its_own_statistics():
    # of a standard normal input the least-squares quadratic of ReLU is about 0.2 + 0.5 z + 0.2 z^2 (derived by moments)
    torch.manual_seed(0)
    rows = np.random.default_rng(0).normal(size=(4000, 2)) * [1.0, 10.0]
    layer = import_model(nn.Sequential(nn.ReLU()), (2,)).layers[0]
    made = normalized_activation(layer, rows)
    unit = made.coefficients.detach().numpy() / np.array([[1.0], [3.0], [9.0]])
    np.testing.assert_allclose(unit[:, 1], 10 * unit[:, 0], rtol=0.05, atol=0.02)
    assert abs(unit[1, 0] - 0.5) < 0.05 and 0.1 < unit[2, 0] < 0.25


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        short = torch.relu(self.one(x))
        long = torch.relu(self.two(torch.relu(self.two(short))))
        return self.three(short * long + x**4)


def test_depth_is_the_longest_chain_of_squarings():
    layers = import_model(Branches(), (4,)).layers
    assert depth(layers) == 4  # three activations and a product; x ** 4 is two squarings beside them
    names = [layer.name for layer in layers if layer.kind == "activation"]
    assert depth(layers, straight=names) == 2
    assert depth(import_model(nn.Sequential(nn.Linear(4, 4)), (4,)).layers) == 0


def test_a_last_batch_of_one_row_is_trained_on():
    data = digits()
    few = Dataset("few", data.x_train[:65], data.y_train[:65], data.x_test, data.y_test)
    network = convert(trained(dense(5, 16), data, steps=300), few, Conversion(epochs=1))
    assert network.about["recipe"] == "stable"


def test_double_precision_trains_in_double_precision():
    data = digits()
    network = convert(trained(dense(5, 16), data, steps=300).double(), data, Conversion(epochs=1))
    assert network.about["recipe"] == "stable"
    assert network.about["score_after"] > 0.7
