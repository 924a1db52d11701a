"""Element-wise functions of one value in several operations become one activation with the same values."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from compress.conversion.friendly import fitted_activation
from compress.errors import UnsupportedLayerError
from compress.graph.importing import import_model

SLOPES = torch.tensor([0.1, -0.2, 0.7])


class Net(nn.Module):
    """A function between a layer of three channels and a dense layer."""

    def __init__(self, call, *, images):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(2, 3, 3) if images else nn.Linear(4, 3)
        self.last = nn.Linear(48 if images else 3, 2)
        self.gate, self.prelu, self.one_slope = nn.Sigmoid(), nn.PReLU(3), nn.PReLU()
        self.prelu.weight.data = SLOPES.clone()
        self.beta = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
        self.call = call

    def forward(self, x):
        return self.last(self.call(self, self.first(x)).flatten(1))


def along(x, values):
    return values.view(1, -1, *(1,) * (x.dim() - 2))


FUNCTIONS = {
    "x * sigmoid(x)": lambda m, x: x * torch.sigmoid(x),
    "x * module(x)": lambda m, x: m.gate(x) * x,
    "x *= sigmoid(x)": lambda m, x: operator_imul(x),
    "x * tanh(softplus(x))": lambda m, x: x * torch.tanh(F.softplus(x)),
    "erf": lambda m, x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "tanh": lambda m, x: 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.0447 * torch.pow(x, 3)))),
    "log(1 + exp(x))": lambda m, x: torch.log(1 + torch.exp(x)),
    "where": lambda m, x: torch.where(x > 0, x, 0.1 * x),
    "x * (x > 0)": lambda m, x: x * (x > 0).float(),
    "relu squared": lambda m, x: F.relu(x) ** 2,
    "x / (1 + |x|)": lambda m, x: x / (1 + x.abs()),
    "1 / (1 + exp(-x))": lambda m, x: 1 / (1 + torch.exp(-x)),
    "maximum": lambda m, x: torch.maximum(x, 0.1 * x),
    "PReLU with one slope": lambda m, x: m.one_slope(x),
}
VARYING = {
    "PReLU": lambda m, x: m.prelu(x),
    "F.prelu": lambda m, x: F.prelu(x, m.prelu.weight),
    "swish with a parameter": lambda m, x: x * torch.sigmoid(along(x, m.beta) * x),
    "where with slopes": lambda m, x: torch.where(x > 0, x, x * along(x, m.beta) * 0.1),
}


def operator_imul(x):
    x *= torch.sigmoid(x)
    return x


def imported(call, *, images):
    net = Net(call, images=images).eval()
    shape = (2, 6, 6) if images else (4,)
    x = torch.randn(5, *shape)
    wanted = net(x.clone())
    found = import_model(net, shape)
    torch.testing.assert_close(found.graph_module(x), wanted)
    (activation,) = [layer for layer in found.layers if layer.kind == "activation"]
    assert found.layers[0].name == activation.inputs[0] and found.layers[-1].kind == "linear"
    return net, activation


@pytest.mark.parametrize("images", [False, True], ids=["vectors", "images"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_activation_with_the_same_values(name, images):
    net, activation = imported(FUNCTIONS[name], images=images)
    assert not activation.varies
    z = np.linspace(-3, 3, 13)
    wanted = FUNCTIONS[name](net, torch.tensor(z, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(activation.evaluated(z), wanted, atol=1e-6)


@pytest.mark.parametrize("images", [False, True], ids=["vectors", "images"])
@pytest.mark.parametrize("name", VARYING)
def test_a_function_of_each_channel_is_fitted_by_channel(name, images):
    net, activation = imported(VARYING[name], images=images)
    assert activation.varies
    z = np.linspace(-3, 3, 13)
    column = torch.from_numpy(z).to(torch.float32)[:, None].expand(-1, 3)
    wanted = VARYING[name](net, column.contiguous()).detach().numpy()
    for channel in range(3):
        np.testing.assert_allclose(activation.evaluated(z, channel), wanted[:, channel], atol=1e-6)
    samples = np.random.default_rng(0).normal(size=(200, 3, 2) if images else (200, 3))
    coefficients = fitted_activation(activation, samples, degree=2, per_channel=False).monomials()
    assert coefficients.shape == (3, 3)
    fit = np.polynomial.polynomial.polyval(z[4:9], coefficients, tensor=True)
    assert np.abs(fit - wanted[4:9].T).max() < 0.5  # each channel's own curve


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: F.relu(x) + x,  # one activation and a residual sum: the sum is free
        lambda m, x: 2 * torch.tanh(x / 3) - 1,  # lines around one activation
        lambda m, x: torch.sigmoid(x) * m.first.bias.sum(),
    ],
)
def test_a_single_activation_is_left_as_it_is(call):
    net = Net(call, images=False).eval()
    kinds = [layer.kind for layer in import_model(net, (4,)).layers]
    assert kinds.count("activation") == 1 and len(kinds) > 3


def test_polynomials_are_not_activations():
    net = Net(lambda m, x: 0.5 + 0.2 * x - 0.01 * x * x * x, images=False).eval()
    assert "activation" not in [layer.kind for layer in import_model(net, (4,)).layers]


@pytest.mark.parametrize("unit", [nn.GLU(1), lambda x: F.glu(x, 1)], ids=["module", "function"])
def test_a_gated_unit_is_a_product_with_a_sigmoid(unit):
    net = nn.Sequential(nn.Linear(4, 6), unit if isinstance(unit, nn.Module) else Applies(unit)).eval()
    found = import_model(net, (4,))
    x = torch.randn(3, 4)
    torch.testing.assert_close(found.graph_module(x), net(x))
    assert [layer.kind for layer in found.layers] == ["linear", "gather", "gather", "activation", "multiply"]


class Applies(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_a_module_keeps_its_name():
    net = Net(lambda m, x: m.prelu(x), images=True).eval()
    assert [layer.name for layer in import_model(net, (2, 6, 6)).layers][1] == "prelu"
    assert type(net.prelu) is nn.PReLU


def test_a_value_that_others_read_too_is_computed_for_them():
    net = Net(lambda m, x: (lambda s: x * s + s)(torch.sigmoid(x)) * torch.ones(3), images=False).eval()
    x = torch.randn(4, 4)
    torch.testing.assert_close(import_model(net, (4,)).graph_module(x), net(x))


def test_in_place_on_a_value_that_is_read_later_is_refused():
    def spoiled(m, x):
        y = x.mul_(torch.sigmoid(x))
        return y + x

    with pytest.raises(UnsupportedLayerError, match="in place on a value that is read again later"):
        import_model(Net(spoiled, images=False).eval(), (4,))


def test_slopes_that_vary_by_position_are_no_activation():
    net = Net(lambda m, x: torch.where(x > 0, x, x * torch.linspace(0, 1, 16).view(1, 1, 4, 4)), images=True).eval()
    with pytest.raises(UnsupportedLayerError, match="layer 'where'|layer 'gt'"):
        import_model(net, (2, 6, 6))
