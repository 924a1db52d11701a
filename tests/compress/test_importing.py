"""Import by fx: every spelling of an operation gives the same layer; operations without a form are refused by name."""

import math
import operator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from compress.conversion.exporting import export_network
from compress.errors import InputShapeError, UnsupportedLayerError
from compress.graph.importing import import_model


class Calls(nn.Module):
    """forward applies a function of the module and x; a linear layer before it makes the value encrypted."""

    def __init__(self, function, features=6):
        super().__init__()
        self.first = nn.Linear(features, features)
        self.other = nn.Linear(features, features)
        self.register_buffer("mean", torch.linspace(0.1, 0.6, features))
        self.register_buffer("std", torch.linspace(1.0, 2.0, features))
        self.call = function

    def forward(self, x):
        return self.call(self, self.first(x))


class Images(nn.Module):
    """The same on images of shape (2, 6, 6)."""

    def __init__(self, function):
        super().__init__()
        self.first = nn.Conv2d(2, 2, 3, padding=1)
        self.fc = nn.Linear(72, 3)
        self.call = function

    def forward(self, x):
        return self.call(self, self.first(x))


def kinds(module, shape):
    return [layer.kind for layer in import_model(module.eval(), shape).layers][1:]


def same_as_torch(module, shape):
    module = module.double().eval()
    images = np.random.default_rng(0).standard_normal((5, *shape))
    with torch.no_grad():
        wanted = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(export_network(module, shape, images).run(images), wanted, atol=1e-10)


ARITHMETIC = {
    "x + y": lambda m, x: x + m.other(x),
    "torch.add": lambda m, x: torch.add(x, m.other(x)),
    "x.add": lambda m, x: x.add(m.other(x)),
    "x += y": lambda m, x: operator.iadd(x, m.other(x)),
    "x - y": lambda m, x: m.other(x) - x,
    "(x - mean) / std": lambda m, x: (x - m.mean) / m.std,
    "constant - x": lambda m, x: 1.5 - x,
    "constant * x": lambda m, x: 2 * x / 3 + 1,
    "-x": lambda m, x: -x,
    "buffer expression": lambda m, x: x * (m.mean.view(1, -1) + 2.0),
    "x * x": lambda m, x: x * x,
    "x ** 2": lambda m, x: x**2,
    "x ** 4": lambda m, x: x**4,
    "torch.square": lambda m, x: torch.square(x),
    "x.pow(2)": lambda m, x: x.pow(2),
    "identity chain": lambda m, x: F.dropout(x.contiguous().clone(), 0.5, training=False),
    "add twice the same": lambda m, x: x + x,
}

SHAPES = {
    "view by size": lambda m, x: m.fc(x.view(x.size(0), -1)),
    "view by shape": lambda m, x: m.fc(x.reshape(x.shape[0], 72)),
    "flatten function": lambda m, x: m.fc(torch.flatten(x, 1)),
    "flatten method": lambda m, x: m.fc(x.flatten(1)),
    "permute": lambda m, x: m.fc(x.permute(0, 2, 3, 1).flatten(1)),
    "permute tuple": lambda m, x: m.fc(torch.permute(x, (0, 3, 1, 2)).flatten(1)),
    "transpose": lambda m, x: m.fc(x.transpose(1, -1).reshape(-1, 72)),
    "squeeze": lambda m, x: x.unsqueeze(1).squeeze(1).flatten(1),
    "mean": lambda m, x: x.mean((2, 3)),
    "mean keepdim": lambda m, x: torch.mean(x, dim=[-1, -2], keepdim=True).flatten(1),
    "avg_pool2d": lambda m, x: F.avg_pool2d(x, 2, stride=1),
    "adaptive": lambda m, x: F.adaptive_avg_pool2d(x, (3, 2)),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_equals_torch(name):
    same_as_torch(Calls(ARITHMETIC[name]), (6,))


@pytest.mark.parametrize("name", SHAPES)
def test_shape_operations_equal_torch(name):
    same_as_torch(Images(SHAPES[name]), (2, 6, 6))


def test_an_input_normalized_by_buffers_equals_torch():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.tensor([0.1, 0.2]).view(1, 2, 1, 1))
            self.conv = nn.Conv2d(2, 3, 3)

        def forward(self, x):
            return self.conv((x - self.mean) / 0.3)

    same_as_torch(Net(), (2, 5, 5))


SPELLINGS = {
    "module": lambda m, x: x,
    "F.relu": lambda m, x: F.relu(x),
    "torch.relu": lambda m, x: torch.relu(x),
    "x.relu()": lambda m, x: x.relu(),
    "F.gelu": lambda m, x: F.gelu(x, approximate="tanh"),
    "F.silu": lambda m, x: F.silu(x),
    "F.leaky_relu": lambda m, x: F.leaky_relu(x, 0.2),
    "torch.sigmoid": lambda m, x: torch.sigmoid(x),
    "x.tanh()": lambda m, x: x.tanh(),
    "F.hardtanh": lambda m, x: F.hardtanh(x),
    "F.softplus": lambda m, x: F.softplus(x),
    "x ** 5": lambda m, x: x**5,
}


@pytest.mark.parametrize("name", [name for name in SPELLINGS if name != "module"])
def test_every_spelling_of_an_activation_is_one_with_its_own_function(name):
    imported = import_model(Calls(SPELLINGS[name]).eval(), (6,))
    layer = imported.layers[-1]
    assert layer.kind == "activation"
    x = torch.linspace(-2, 2, 9)
    torch.testing.assert_close(layer.options["function"](x), SPELLINGS[name](None, x))


@pytest.mark.parametrize(
    "module",
    [nn.ReLU(), nn.LeakyReLU(), nn.SiLU(), nn.GELU(), nn.Sigmoid(), nn.Tanh(), nn.ELU(), nn.Softplus(), nn.Hardtanh()],
)
def test_activation_modules_are_imported_as_activations(module):
    assert kinds(nn.Sequential(nn.Linear(3, 3), module), (3,)) == ["activation"]


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AdaptiveMaxPool2d(3)])
def test_max_pooling_is_imported(pool):
    assert kinds(nn.Sequential(nn.Conv2d(2, 2, 1), pool), (2, 6, 6)) == ["maxpool"]
    assert kinds(Images(lambda m, x: F.max_pool2d(x, 2)), (2, 6, 6)) == ["maxpool"]


def test_a_softmax_at_the_end_is_dropped_and_reported():
    for last in (nn.Softmax(dim=1), nn.LogSoftmax(dim=1)):
        module = nn.Sequential(nn.Linear(3, 4), last).double().eval()
        network = export_network(module, (3,), np.eye(3))
        assert network.output_shape == (4,)
        assert "at the end: the classes keep their order" in network.about["dropped"][0]
        scores, wanted = network.run(np.eye(3)), module(torch.eye(3).double()).detach().numpy()
        np.testing.assert_array_equal(scores.argmax(1), wanted.argmax(1))


def test_layers_under_a_parametrization_are_layers():
    class Double(nn.Module):
        def forward(self, weight):
            return 2 * weight

    linear = nn.Linear(3, 3)
    parametrize.register_parametrization(linear, "weight", Double())
    assert [layer.kind for layer in import_model(nn.Sequential(linear), (3,)).layers] == ["linear"]


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.TransformerDecoderLayer(6, 2, 8, batch_first=True)

    def forward(self, x):
        return self.block(x, x)


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Calls(lambda m, x: torch.cumprod(x, 1))

    def forward(self, x):
        return self.inner(x)


class Two(nn.Module):
    def forward(self, x, y):
        return x + y


def stack(*layers):
    return nn.Sequential(*layers)


REFUSED = [
    (stack(nn.Linear(6, 6), nn.Softmax(1), nn.Linear(6, 2)), (6,), "layer '1': Softmax .* leave it to the client"),
    (stack(nn.Softmax(1), nn.Linear(6, 2)), (6,), "layer '0': Softmax"),
    (Attends(), (4, 6), "layer 'block': TransformerDecoderLayer .* use nn.TransformerEncoderLayer"),
    (stack(nn.LSTM(6, 6)), (4, 6), "layer '0': LSTM .* unroll to linear layers"),
    (stack(nn.Conv3d(2, 2, 2)), (2, 6, 6, 6), "layer '0': Conv3d .* use Conv2d"),
    (stack(nn.MaxPool2d(2, dilation=2)), (2, 6, 6), "MaxPool2d with dilation; use dilation=1"),
    (Nested(), (6,), "layer 'inner.cumprod': cumprod has no encrypted form"),
    (Branches(), (6,), "layer 'Branches': control flow that depends on the data .*; compute on the whole tensor"),
    (Two(), (6,), r"forward takes 2 inputs \(x, y\); write a module whose forward takes one tensor"),
    (Calls(lambda m, x: (x, x)), (6,), "forward returns several values; return one tensor"),
    (Calls(lambda m, x: x / m.other(x)), (6,), "truediv of two encrypted values; divide by a constant"),
    (Calls(lambda m, x: x.sum()), (6,), "sum over the batch axis; take it over other axes, for instance dim=1"),
    (Calls(lambda m, x: x.mean(0, keepdim=True)), (6,), "mean over the batch axis; take it over other axes"),
    (
        Calls(lambda m, x: x[0]),
        (6,),
        r"getitem changes the batch axis; keep axis 0: index the other axes, as in x\[:, 0",
    ),
    (Calls(lambda m, x: torch.roll(x, 1, 0)), (6,), "roll mixes the inputs of a batch; keep axis 0"),
    (Calls(lambda m, x: x.masked_fill(m.mean > 0.3, -math.inf)), (6,), "masked_fill fills in values that are not fin"),
    (Calls(lambda m, x: x.unsqueeze(1) + torch.ones(3, 3, 1, 6)), (6,), "mixes the inputs of a batch; give both"),
    (Calls(lambda m, x: x + m.other(x).unsqueeze(1)), (6,), "of shapes .6,. and .3, 6. mixes the inputs of a batch"),
    (
        Calls(lambda m, x: x @ m.other(x).unsqueeze(2)),
        (6,),
        "matmul along the batch axis mixes inputs; multiply .batch",
    ),
    (Calls(lambda m, x: torch.einsum("bi,ci->bc", x, m.other(x))), (6,), "einsum 'bi,ci->bc' of two encrypted values"),
    (Calls(lambda m, x: torch.einsum("b...,b...->b...", x, m.other(x))), (6,), "every label once, the batch first"),
    (
        Calls(lambda m, x: F.linear(m.other.weight, x)),
        (6,),
        "linear with weights that depend on the input; use weights",
    ),
    (Calls(lambda m, x: x.max(1)[0]), (6,), "max has no encrypted form; use max pooling"),
    (Calls(lambda m, x: x[:, x.argmax(1)]), (6,), "argmax has no encrypted form; leave it to the client"),
    (Calls(lambda m, x: x * x.mean().item()), (6,), "mean over the batch axis|item has no encrypted form"),
    (Calls(lambda m, x: F.interpolate(x.view(-1, 1, 2, 3), (3, 3), mode="bilinear", antialias=True)), (6,), "antial"),
    (Calls(lambda m, x: x**0.5), (6,), "pow with exponent 0.5; use a whole exponent"),
    (Calls(lambda m, x: x.flatten()), (6,), r"flatten changes the batch axis \(\(3, 6\) to \(18,\)\); keep axis 0"),
    (Calls(lambda m, x: x.transpose(0, 1)), (6,), "transpose moves the batch axis; keep axis 0 first"),
    (Calls(lambda m, x: x + torch.ones(3, 6).to(x)), (6,), "add has no encrypted form|to has no|batch axis"),
    (
        Calls(lambda m, x: F.relu(x, inplace=True) + x),
        (6,),
        "relu in place on a value that is read again later; use the out",
    ),
    (Calls(lambda m, x: torch.matmul(x, x.transpose(0, 1))), (6,), "moves the batch axis|matmul has no encrypted form"),
    (Calls(lambda m, x: m.mean), (6,), "the output does not depend on the input"),
    (nn.Sequential(nn.Identity()), (6,), "a network without any layer cannot be converted"),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("case", range(len(REFUSED)), ids=lambda index: REFUSED[index][2][:50])
def test_what_has_no_form_is_refused_with_place_and_advice(case):
    module, shape, text = REFUSED[case]
    with pytest.raises(UnsupportedLayerError, match=text) as caught:
        import_model(module.eval(), shape)
    assert "\n" not in str(caught.value)


def test_data_of_another_shape_names_the_layer():
    with pytest.raises(InputShapeError, match=r"layer '0': fails on a batch of 3 inputs of shape \(5,\) .*give data"):
        import_model(nn.Sequential(nn.Linear(6, 2)), (5,))


def test_a_fixed_batch_size_in_a_reshape_is_found():
    with pytest.raises(InputShapeError, match=r"layer 'view': .*free batch axis"):
        import_model(Calls(lambda m, x: x.view(1, 6)).eval(), (6,))


@pytest.mark.parametrize("norm", [nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.BatchNorm1d(3, track_running_stats=False)])
def test_a_norm_of_each_input_is_not_exact(norm):
    text = f"layer '1': {type(norm).__name__} is not exact; call convert, which replaces it by constants"
    with pytest.raises(UnsupportedLayerError, match=text):
        export_network(nn.Sequential(nn.Linear(3, 3), norm), (3,), np.eye(3))


def test_an_activation_is_not_exact():
    with pytest.raises(UnsupportedLayerError, match="layer '1': activation is not exact; call convert"):
        export_network(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), (3,), np.eye(3))


def test_layers_know_their_shapes_and_sources():
    module = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.Dropout(), nn.Flatten(), nn.Linear(18, 4))
    layers = import_model(module.eval(), (1, 8, 8)).layers
    assert [(layer.name, layer.inputs, layer.shape) for layer in layers] == [
        ("0", ("input",), (2, 3, 3)),
        ("2", ("0",), (18,)),
        ("3", ("2",), (4,)),
    ]
    assert math.prod(layers[0].shape) == 18
