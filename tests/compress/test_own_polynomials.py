"""Polynomials that a user wrote as arithmetic are kept exactly, as one node of their degree."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compress.conversion.combining import combine_polynomials
from compress.conversion.convert import convert
from compress.conversion.exporting import export_network
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.network import Add, Affine, Dense, Input, Multiply, Network, Polynomial, Weights


class Wrapped(nn.Module):
    """A dense layer, a function of its value, and another dense layer."""

    def __init__(self, function, features=5):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.function, self.last = nn.Linear(6, features), function, nn.Linear(features, 3)

    def forward(self, x):
        return self.last(self.function(self.first(x)))


class Horner(nn.Module):
    def __init__(self, *coefficients):
        super().__init__()
        self.coefficients = coefficients

    def forward(self, x):
        result = self.coefficients[-1] * x
        for value in self.coefficients[-2:0:-1]:
            result = (result + value) * x
        return result + self.coefficients[0]


SPELLINGS = {
    "x * x * x": (lambda x: 0.5 + 0.197 * x - 0.004 * x * x * x, (0.5, 0.197, 0, -0.004)),
    "x ** 3": (lambda x: 0.5 + 0.197 * x - 0.004 * x**3, (0.5, 0.197, 0, -0.004)),
    "square": (lambda x: torch.square(x) * 0.25 + x / 2 + 0.1, (0.1, 0.5, 0.25)),
    "pow(exponent=2)": (lambda x: 3 * x - torch.pow(x, exponent=2), (0, 3, -1)),
    "Horner, degree 4": (Horner(0.1, -0.4, 0.3, 0.02, 0.001), (0.1, -0.4, 0.3, 0.02, 0.001)),
    "a product of factors": (lambda x: (x - 1) * (x + 2) * (0.5 * x), (0, -1, 0.5, 0.5)),
    "a residual": (lambda x: x + torch.square(x + 1), (1, 3, 1)),
    "terms that cancel": (lambda x: x * x * x + x - x * x * x, (0, 1)),
    "a square of a square": (lambda x: (x * x + x) * (x * x - x), (0, 0, -1, 0, 1)),
}


def polynomials(network):
    return [node for node in network.nodes if isinstance(node, (Polynomial, Affine))]


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_polynomial_in_any_spelling_is_one_node_with_its_coefficients(name):
    rng = np.random.default_rng(1)
    function, coefficients = SPELLINGS[name]
    model = Wrapped(function).double().eval()
    images = rng.normal(size=(20, 6))
    network = export_network(model, (6,), images)
    (node,) = polynomials(network)
    if isinstance(node, Polynomial):
        np.testing.assert_allclose(node.coefficients[:, 0], coefficients, atol=1e-15)
    assert len(network.nodes) == 4
    wanted = model(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(network.run(images), wanted, atol=1e-12)


@pytest.mark.parametrize("degree", [2, 4])
def test_conversion_keeps_a_cubic_whatever_degree_it_fits_others_with(degree):
    rng = np.random.default_rng(2)
    images = rng.normal(size=(64, 6)).astype(np.float32)
    labels = rng.integers(0, 3, 64)
    model = Wrapped(SPELLINGS["x ** 3"][0])
    data = Dataset("rows", images, labels, images, labels)
    network = convert(model, data, Conversion(degree=degree, epochs=0))
    assert network.about["replaced"] == []
    (node,) = polynomials(network)
    np.testing.assert_allclose(node.coefficients[:, 0], (0.5, 0.197, 0, -0.004), atol=1e-15)
    wanted = model(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(network.run(images), wanted, atol=1e-5 * np.abs(wanted).max())


def test_coefficients_by_channel_stay_by_channel():
    rng = np.random.default_rng(3)
    slopes = torch.tensor([0.5, -1.0, 2.0])
    model = nn.Sequential(nn.Conv2d(1, 3, 3), Mul(slopes.reshape(1, 3, 1, 1)), nn.Flatten(), nn.Linear(12, 2))
    network = export_network(model.double().eval(), (1, 4, 4), rng.normal(size=(5, 1, 4, 4)))
    (node,) = polynomials(network)
    np.testing.assert_allclose(node.coefficients, [[1] * 3, [0.5, -1.0, 2.0], [1] * 3])


class Mul(nn.Module):
    def __init__(self, slopes):
        super().__init__()
        self.slopes = slopes.double()

    def forward(self, x):
        return x * x + self.slopes * x + 1


def test_what_has_no_form_stays_arithmetic_and_is_exact():
    rng = np.random.default_rng(4)
    model = Wrapped(lambda x: (x * x * x) * (x * x) + x).double().eval()
    images = rng.normal(size=(20, 6))
    network = export_network(model, (6,), images)
    degrees = sorted(node.degree for node in network.nodes if isinstance(node, Polynomial))
    assert degrees == [2, 3]
    np.testing.assert_allclose(network.run(images), model(torch.from_numpy(images)).detach().numpy(), atol=1e-12)


def nodes_of(*middle, shape=(2, 3)):
    return (Input(name="x", inputs=(), shape=shape), *middle)


def test_a_factor_that_varies_within_a_channel_is_left_as_it_is():
    scale = Affine(name="s", inputs=("x",), shape=(2, 3), scale=np.arange(6.0).reshape(2, 3), shift=np.array(0.0))
    total = Add(name="t", inputs=("s", "x"), shape=(2, 3))
    nodes = nodes_of(scale, total)
    assert combine_polynomials(nodes) == nodes


def test_plain_activations_are_left_as_they_are():
    act = Polynomial(name="a", inputs=("x",), shape=(2, 3), coefficients=np.ones((3, 1)))
    again = Polynomial(name="b", inputs=("a",), shape=(2, 3), coefficients=np.ones((3, 1)))
    nodes = nodes_of(act, again)
    assert combine_polynomials(nodes) == nodes


def test_a_value_that_others_read_stays():
    square = Polynomial(name="q", inputs=("x",), shape=(3,), coefficients=np.array([[0.0], [0.0], [1.0]]))
    cube = Multiply(name="c", inputs=("q", "x"), shape=(3,))
    dense = Dense(name="d", inputs=("q",), shape=(3,), weights=Weights(np.eye(3), np.array(1.0)), bias=np.zeros(3))
    total = Add(name="t", inputs=("c", "d"), shape=(3,))
    kept = combine_polynomials(nodes_of(square, cube, dense, total, shape=(3,)))
    assert [node.name for node in kept] == ["x", "q", "c", "d", "t"]
    assert isinstance(kept[2], Polynomial) and kept[2].inputs == ("x",)


@st.composite
def expressions(draw):
    """Random sums, products and lines of polynomials of one value."""
    nodes = list(nodes_of(shape=(4,)))
    for number in range(draw(st.integers(1, 8))):
        names = [node.name for node in nodes]
        kind = draw(st.sampled_from(["add", "multiply", "line", "square"]))
        one, other = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        common = {"name": f"n{number}", "shape": (4,)}
        if kind == "add":
            nodes.append(Add(inputs=(one, other), **common))
        elif kind == "multiply":
            nodes.append(Multiply(inputs=(one, other), **common))
        elif kind == "line":
            scale, shift = (np.array(draw(st.floats(-2, 2))) for _ in range(2))
            nodes.append(Affine(inputs=(one,), scale=scale, shift=shift, **common))
        else:
            curve = np.array([[draw(st.floats(-1, 1))] for _ in range(3)])
            nodes.append(Polynomial(inputs=(one,), coefficients=curve, **common))
    return tuple(nodes)


@settings(max_examples=150, deadline=None)
@given(expressions())
def test_combined_nodes_compute_the_same_values(nodes):
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, (7, 4))
    wanted = Network(nodes=nodes).run_all(x)
    combined = combine_polynomials(nodes)
    found = Network(nodes=combined).run_all(x)
    for node in combined:
        size = max(np.abs(value).max() for value in wanted.values())
        np.testing.assert_allclose(found[node.name], wanted[node.name], rtol=1e-12, atol=1e-12 * max(1.0, size))
    assert all(node.degree <= 4 for node in combined if isinstance(node, Polynomial))
