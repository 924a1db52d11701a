"""Networks of plain squares with weights on a grid: rewriting is exact, pruned weights stay zero, accuracy stays."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from compress.conversion.convert import convert
from compress.conversion.exporting import export_network
from compress.conversion.options import Conversion
from compress.errors import ConfigError
from compress.graph.modules import PolynomialActivation
from compress.network import Affine, Conv, Dense, Network, Polynomial
from compress.press.pressing import deep_conversion, usual_setting
from compress.press.setting import Setting
from compress.row_batches import by_batches
from compress.squares.module import NetworkModule
from compress.squares.rewriting import plain_squares, with_squares
from compress.squares.rounding import coded, fraction_bits_of, rounded
from compress.squares.training import grids, with_masks
from tests.compress.digits import digits, trained


class Residual(nn.Module):
    """Two convolutions, an activation between them and one after the sum with the input."""

    def __init__(self, channels, activation, kernel=3):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
        self.second = copy.deepcopy(self.first)
        self.middle, self.last = activation(), activation()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, x):
        inner = self.middle(self.norms[0](self.first(x)))
        return self.last(self.norms[1](self.second(inner)) + x)


def residual(blocks, channels=8, activation=nn.ReLU, kernel=3):
    torch.manual_seed(0)
    stem = nn.Conv2d(1, channels, kernel, padding=kernel // 2, bias=False)
    body = [Residual(channels, activation, kernel) for _ in range(blocks)]
    return nn.Sequential(
        stem, nn.BatchNorm2d(channels), activation(), *body, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(4 * channels, 10)
    )


def quadratic():
    """An activation of its own per channel; some leading coefficients are negative."""
    rows = torch.stack([0.2 * torch.randn(8), 0.5 + 0.1 * torch.randn(8), 0.1 * torch.sign(torch.randn(8))])
    return PolynomialActivation(rows.double().numpy())


def linear_maps(network: Network):
    return [node for node in network.nodes if isinstance(node, (Conv, Dense))]


def test_squares_compute_what_the_quadratics_did_where_nothing_is_padded():
    images = np.random.default_rng(0).normal(size=(6, 1, 8, 8))
    network = export_network(residual(2, activation=quadratic, kernel=1).double().eval(), (1, 8, 8), images)
    squares = with_squares(network)
    np.testing.assert_allclose(squares.run(images), network.run(images), rtol=0, atol=1e-10)
    assert not any(plain_squares(network).values()) and all(plain_squares(squares).values())
    skips = [node for node in squares.nodes if isinstance(node, Affine)]
    assert len(skips) == 2 and not any(node.shift.any() for node in skips)  # a factor per channel, nothing else
    assert len(squares.nodes) == len(network.nodes) + 2


@pytest.mark.parametrize("rows", [1, 3], ids=["one quadratic", "one per token"])
def test_squares_of_tokens_compute_what_the_quadratics_did(rows):
    """A dense layer of every token can take the offset of a square only if it is the same for all tokens."""
    generator = np.random.default_rng(0)
    own = PolynomialActivation(generator.uniform(0.2, 1, (3, rows)))
    module = nn.Sequential(nn.Linear(4, 5), own, nn.Linear(5, 2)).double().eval()
    x = generator.normal(size=(20, 3, 4))
    network = export_network(module, (3, 4), x)
    squares = with_squares(network)
    assert list(plain_squares(squares).values()) == [rows == 1]
    assert np.allclose(squares.run(x), network.run(x), rtol=1e-10)


def test_with_padding_only_values_near_the_border_change():
    images = np.random.default_rng(0).normal(size=(3, 1, 8, 8))
    network = export_network(residual(1, activation=quadratic).double().eval(), (1, 8, 8), images)
    squares = with_squares(network)
    before, after = network.run_all(images)["add"], squares.run_all(images)["add"]
    last = next(node for node in network.nodes if isinstance(node, Polynomial) and node.inputs == ("add",))
    factor = np.sqrt(np.abs(last.coefficients[2]))[:, None, None]
    shift = factor * (last.coefficients[1] / (2 * last.coefficients[2]))[:, None, None]
    error = np.abs(after - (factor * before + shift))
    assert error[:, :, 2:-2, 2:-2].max() < 1e-12 < 1e-3 < error.max()


def test_what_is_no_quadratic_stays():
    torch.manual_seed(0)
    cubic = PolynomialActivation(np.array([[0.0], [1.0], [0.1], [0.2]]))
    module = nn.Sequential(nn.Linear(5, 4), cubic, nn.Linear(4, 3)).double().eval()
    rows = np.random.default_rng(0).normal(size=(7, 5))
    network = export_network(module, (5,), rows)
    squares = with_squares(network)
    np.testing.assert_array_equal(squares.run(rows), network.run(rows))
    assert plain_squares(squares) == {"1": False}


def test_the_torch_twin_rounds_forward_and_passes_gradients():
    weight = torch.tensor([0.3, -0.71, 0.001], requires_grad=True)
    kept = rounded(weight, 7)
    kept.sum().backward()
    assert (kept * 128).tolist() == [38.0, -91.0, 0.0] and weight.grad.tolist() == [1.0, 1.0, 1.0]
    exact = coded(np.array([[0.5, -1.0], [0.0, 0.25]]), 7, None)
    assert exact.codes.dtype == np.int16 and exact.bits == 9 and exact.step == 2.0**-7
    np.testing.assert_array_equal(exact.values(), [[0.5, -1.0], [0.0, 0.25]])


@pytest.mark.parametrize(("largest", "bits"), [(1.0, 7), (0.13, 7), (0.06, 8), (1e-3, 13), (0.0, 7)])
def test_layers_of_small_weights_keep_more_bits(largest, bits):
    assert fraction_bits_of(np.array([largest / 2, -largest]), 7) == bits


def test_pruned_weights_stay_zero():
    images = np.random.default_rng(0).normal(size=(5, 1, 8, 8))
    model = residual(1, activation=quadratic).double().eval()
    with torch.no_grad():
        model[3].first.weight[:, :4] = 0.0
    network = with_masks(with_squares(export_network(model, (1, 8, 8), images)))
    module = NetworkModule(network, torch.float64, grids(network, 7))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.25)
    found = {node.name: node.weights for node in linear_maps(module.frozen())}
    assert not found["3.first"].codes[:, :4].any() and found["3.first"].codes[:, 4:].all()
    assert found["3.second"].mask is None and found["3.first"].mask.sum() == 8 * 4 * 9


def test_a_row_that_explodes_is_pulled_back_in_training_and_spoils_no_other():
    """Its values after fourteen squares are 2.25^(2^14), beyond every float."""
    torch.manual_seed(0)
    images = np.random.default_rng(0).choice([-1.0, 1.0], size=(64, 3))
    parts = [(nn.Linear(3, 3, bias=False), PolynomialActivation(np.array([0.0, 0.0, 1.0]))) for _ in range(14)]
    model = nn.Sequential(*(part for pair in parts for part in pair)).double()
    for linear, _ in parts:
        nn.init.eye_(linear.weight)
    network = export_network(model, (3,), images)
    rows = torch.from_numpy(np.concatenate([images[:8], np.full((1, 3), 1.5)]))
    with np.errstate(over="ignore", invalid="ignore"):
        assert not np.isfinite(network.run(rows.numpy())[-1]).any()
    module = NetworkModule(network, torch.float64)
    module.watch_(torch.from_numpy(images), 0.01, noise=0.0)
    module.train()
    outputs = module(rows)
    np.testing.assert_array_equal(outputs[:-1].detach(), np.ones((8, 3)))
    watched = [part for part in module.modules() if isinstance(part, PolynomialActivation)]
    (0.0 * outputs.sum() + sum(part.excess for part in watched)).backward()
    gradients = [part.grad for part in module.parameters() if part.requires_grad]
    assert torch.isfinite(outputs).all() and all(torch.isfinite(gradient).all() for gradient in gradients)
    assert (module.steps[0].weight.grad.diagonal() > 0).all()


def test_a_residual_network_is_converted_to_plain_squares_of_few_bits():
    data = digits((1, 8, 8))
    model = trained(residual(2), data, 250)
    network = convert(model, data, Conversion(epochs=1, batch_size=64, fraction_bits=7))
    about = network.about
    assert about["recipe"] == "stable" and about["fraction_bits"] == 7
    assert about["accuracy_after"] > about["accuracy_before"] - 0.04
    assert sum(plain_squares(network).values()) == 5
    for node in linear_maps(network):
        assert node.weights.codes.dtype.kind == "i" and float(np.log2(node.weights.step)) <= -7
    skips = [node for node in network.nodes if isinstance(node, Affine)]
    assert len(skips) == 2
    for node in skips:
        np.testing.assert_array_equal(node.scale * 2**9, np.rint(node.scale * 2**9))


@pytest.mark.slow
@pytest.mark.parametrize(("blocks", "bits"), [(3, 7), (4, 7), (9, 9)])
def test_deep_residual_networks_keep_their_accuracy(blocks, bits):
    data = digits((1, 8, 8))
    model = trained(residual(blocks), data, 500)
    network = convert(model, data, Conversion(epochs=4, fraction_bits=bits))
    assert network.about["accuracy_after"] >= network.about["accuracy_before"] - 0.02
    assert sum(plain_squares(network).values()) == 1 + 2 * blocks


def test_batches_side_by_side_give_what_one_batch_gives():
    images = np.random.default_rng(0).normal(size=(9, 1, 64, 64))
    module = nn.Sequential(nn.Conv2d(1, 24, 3, padding=1), nn.AvgPool2d(64), nn.Flatten()).double().eval()
    network = export_network(module, (1, 64, 64), images[:2])
    parts = by_batches(network, images, network.run, batch=2)
    assert [len(part) for part in parts] == [2, 2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(parts), network.run(images))


@pytest.mark.parametrize("bits", [3, 17, 7.5, True])
def test_fraction_bits_out_of_range_are_refused(bits):
    with pytest.raises(ConfigError, match="fraction_bits: got .*; allowed: None, or 4 to 16"):
        Conversion(fraction_bits=bits)


def test_an_unknown_kind_of_images_is_refused():
    with pytest.raises(ConfigError, match="images: got 'paintings'; allowed: one of handwriting, pictures"):
        Conversion(images="paintings")


def test_press_rounds_deep_networks_of_convolutions_and_leaves_opq_out_of_them():
    data = digits((1, 8, 8))
    deep, shallow = residual(2).eval(), residual(1).eval()
    assert usual_setting(deep, data).bits is None and usual_setting(shallow, data) == Setting()
    assert deep_conversion(deep, data, Conversion()).fraction_bits == 7
    assert deep_conversion(shallow, data, Conversion()) == Conversion()
    dense = nn.Sequential(nn.Flatten(), *(part for _ in range(6) for part in (nn.Linear(64, 64), nn.ReLU())))
    assert deep_conversion(dense.eval(), data, Conversion()) == Conversion()
    assert deep_conversion(deep, data, Conversion(straight=("4.last",))) == Conversion(straight=("4.last",))
