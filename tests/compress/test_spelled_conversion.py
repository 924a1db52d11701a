"""Conversion of the spellings that are replaced: norms of each input, composed activations, uneven max pools."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.utils import prune

from compress.conversion.convert import convert
from compress.conversion.exporting import export_network
from compress.conversion.norms import fitted_norm
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.errors import CalibrationError
from compress.graph.importing import import_model
from compress.network import Dense


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.data))
    x = (found.data[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    y = found.target[order].astype(np.int64)
    return Dataset("digits", x[:1200], y[:1200], x[1200:], y[1200:])


class Spelled(nn.Module):
    """Group and layer normalization, PReLU, a composed activation, a skip connection and an uneven max pool."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(1, 6, 3, padding=1, padding_mode="reflect"), nn.GroupNorm(2, 6)
        self.slopes = nn.PReLU(6)
        self.fc, self.inner = nn.Linear(7 * 9, 32), nn.LayerNorm(32)
        self.last = nn.Parameter(torch.randn(32, 10) * 0.2)

    def forward(self, x):
        assert x.dim() == 4 and x.shape[1] == 1
        y = self.slopes(self.norm(self.first(x)))
        y = F.max_pool2d(torch.cat([y, x], 1), 3, ceil_mode=True)
        y = self.inner(self.fc(y.view(y.size(0), -1)))
        return (y * torch.sigmoid(y)) @ self.last


def trained(module, data, epochs=12):
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(module(x[rows]), y[rows]).backward()
            optimizer.step()
    return module.eval()


@pytest.fixture(scope="module")
def spelled(digits):
    return trained(Spelled(), digits)


def test_a_network_of_replaced_spellings_keeps_its_accuracy(digits, spelled):
    network = convert(spelled, digits, Conversion(epochs=12))
    replaced = "\n".join(network.about["replaced"])
    assert "norm: GroupNorm -> trained factors and shifts (R2 0." in replaced
    assert "inner: LayerNorm -> trained factors and shifts (R2 0." in replaced
    assert "slopes: PReLU -> polynomial" in replaced
    assert "function of one value (sigmoid, mul) -> polynomial" in replaced
    assert "max pooling -> average pooling of windows of different sizes" in replaced
    assert network.about["accuracy_before"] > 0.9
    assert network.about["accuracy_after"] > network.about["accuracy_before"] - 0.03


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_converted_in_float32(digits, spelled, dtype):
    copied = Spelled()
    copied.load_state_dict(spelled.state_dict())
    about = convert(copied.to(dtype).eval(), digits, Conversion(epochs=1)).about
    assert about["accuracy_before"] > 0.9 and about["accuracy_after"] > 0.7
    assert copied.fc.weight.dtype == dtype


def test_pruned_weights_stay_zero_through_the_distillation(digits):
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    trained(module, digits)
    prune.l1_unstructured(module[1], "weight", 0.7)
    mask = module[1].weight_mask.numpy() != 0
    network = convert(module, digits, Conversion(epochs=3))
    weights = next(node for node in network.nodes if isinstance(node, Dense)).weights.values()
    assert not weights[~mask].any()
    assert (weights[mask] != module[1].weight.detach().numpy()[mask]).mean() > 0.9  # the others were trained


class Normed(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x)


def fitted(norm, shape, spread=1.0):
    """(module in its place, R2, torch's outputs, its own outputs) on inputs whose deviations vary by `spread`."""
    rng = np.random.default_rng(0)
    deviations = np.exp(spread * rng.normal(size=(300, *(1,) * len(shape))) * 0.1)
    x = rng.normal(size=(300, *shape)) * deviations + rng.normal(size=shape)
    (layer,) = import_model(Normed(norm).double().eval(), shape).layers
    values = torch.from_numpy(x)
    with torch.no_grad():
        wanted = norm(values).numpy()
        module, share = fitted_norm(layer, x, wanted, torch.float64)
        return module, share, wanted, module(values).numpy()


NORMS = {
    "layer": (nn.LayerNorm(12), (12,), (12,), True),
    "layer of tokens": (nn.LayerNorm(12), (5, 12), (1, 12), True),
    "layer of two axes": (nn.LayerNorm((5, 6)), (5, 6), (5, 6), False),
    "rms": (nn.RMSNorm(12), (12,), (12,), False),
    "group": (nn.GroupNorm(2, 4), (4, 5, 5), (4, 1, 1), False),
    "instance": (nn.InstanceNorm1d(4), (4, 9), (4, 1), False),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_becomes_the_closest_line(name):
    norm, shape, parameters, centred = NORMS[name]
    module, share, wanted, found = fitted(norm, shape)
    assert (tuple(module.scale.shape), module.centred) == (parameters, centred)
    assert share == pytest.approx(1 - np.mean((wanted - found) ** 2) / wanted.var())
    assert share > 0.7
    with torch.no_grad():  # no other factor is closer
        module.scale.mul_(1.01)
    x = np.random.default_rng(0)
    deviations = np.exp(x.normal(size=(300, *(1,) * len(shape))) * 0.1)
    inputs = torch.from_numpy(x.normal(size=(300, *shape)) * deviations + x.normal(size=shape))
    with torch.no_grad():
        assert np.mean((module(inputs).numpy() - wanted) ** 2) > np.mean((found - wanted) ** 2)


def test_the_mean_of_a_layer_norm_stays_exact():
    """Inputs of one deviation and any mean: nothing is lost."""
    rng = np.random.default_rng(0)
    pattern = rng.normal(size=8)
    x = np.stack([rng.permutation(pattern) + shift for shift in rng.normal(size=100) * 5])
    norm = nn.LayerNorm(8).double()
    (layer,) = import_model(Normed(norm).eval(), (8,)).layers
    with torch.no_grad():
        _, share = fitted_norm(layer, x, norm(torch.from_numpy(x)).numpy(), torch.float64)
    assert share == pytest.approx(1.0, abs=1e-9)


def test_inputs_that_do_not_vary_are_refused():
    (layer,) = import_model(Normed(nn.LayerNorm(3)).eval(), (3,)).layers
    with pytest.raises(CalibrationError, match="layer 'norm': every calibration value is 1"):
        fitted_norm(layer, np.ones((4, 3)), np.zeros((4, 3)), torch.float32)


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_is_exported_as_the_module_that_took_its_place(name):
    norm, shape, _, _ = NORMS[name]
    module, *_ = fitted(norm, shape)
    images = np.random.default_rng(1).normal(size=(7, *shape))
    network = export_network(Normed(module).eval(), shape, images)
    with torch.no_grad():
        wanted = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(network.run(images), wanted, atol=1e-12)
