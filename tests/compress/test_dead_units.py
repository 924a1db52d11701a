"""Dead units: only units that no output depends on are cleared, and the network's answers stay the same."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.account.accounting import account
from compress.dataset import Dataset
from compress.joint.quantize import joint_quantize
from compress.model.compressed import CompressedModel
from compress.model.quantizer import latent_weight, quantizer_of
from compress.opq.dead_units import without_dead_units
from compress.opq.opq import opq
from compress.opq.shots import masks_only


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 2 * 2, 12),
        nn.ReLU(),
        nn.Linear(12, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def padded():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.Flatten(), nn.Linear(5 * 144, 3)
    )


def residual():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(196, 10), nn.Linear(10, 10), nn.Linear(10, 3)

        def forward(self, x):
            h = torch.relu(self.a(x.flatten(1)))
            return self.c(torch.relu(self.b(h) + h))

    return Net()


def pruned(net, sparsity=0.6, seed=0):
    """Random codes, where some units have no inputs and some no outputs."""
    torch.manual_seed(seed)
    small = opq(net, sparsity=sparsity, bits=4)
    random = np.random.default_rng(seed)
    for layer in (layer for layer in small.module.modules() if quantizer_of(layer) is not None):
        mask = quantizer_of(layer).mask
        mask[torch.from_numpy(random.random(len(mask)) < 0.4)] = False
        mask[:, torch.from_numpy(random.random(mask.shape[1]) < 0.3)] = False
        latent_weight(layer).data.mul_(mask)
    return small


@pytest.mark.parametrize("make", [convolutional, padded, residual])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("form", [lambda model: model, masks_only])
def test_clearing_dead_units_keeps_the_answers(make, seed, form):
    torch.manual_seed(seed)
    small = form(pruned(make().eval(), seed=seed))
    x = torch.randn(20, 1, 14, 14)
    cleared = without_dead_units(small, (1, 14, 14))
    with torch.no_grad():
        torch.testing.assert_close(cleared.module(x), small.module(x), rtol=1e-4, atol=1e-5)


def test_remaining_units_have_inputs_and_readers():
    cleared = without_dead_units(pruned(convolutional().eval()), (1, 14, 14))
    layers = [layer for layer in cleared.module if quantizer_of(layer) is not None]
    found = 0
    for a, b in zip(layers[:-1], layers[1:], strict=True):
        fed = (a.weight != 0).flatten(1).any(dim=1)
        read = (b.weight != 0).reshape(len(b.weight), len(a.weight), -1).any(dim=2).any(dim=0)
        assert (fed == read).all()
        assert (a.bias[~fed] == 0).all() and (a.bias[fed] != 0).all()
        found += int((~fed).sum())
    assert found >= 3
    assert sum(cleared.history[-1]["cleared"].values()) >= found / 2


def test_constants_do_not_pass_a_padded_edge():
    small = pruned(padded().eval(), sparsity=0.0)
    first, second = small.module[0], small.module[2]
    quantizer_of(first).mask[1] = False
    latent_weight(first).data[1] = 0.0
    with torch.no_grad():
        first.bias[1] = 0.7
    quantizer_of(second).mask[:, 1] = True
    latent_weight(second).data[:, 1] = 0.1
    cleared = without_dead_units(small, (1, 14, 14))
    assert float(cleared.module[0].bias[1].detach()) == pytest.approx(0.7)


def test_clearing_dead_units_saves_bits_and_leaves_the_model_unchanged():
    small = pruned(convolutional().eval())
    before = {name: codes.codes.copy() for name, codes in small.layers().items()}
    x = np.random.default_rng(0).random((64, 1, 14, 14), dtype=np.float32)
    data = Dataset(
        name="x", x_train=x, y_train=np.zeros(64, int), x_test=x, y_test=np.zeros(64, int))  # fmt: skip
    cleared = without_dead_units(small, (1, 14, 14))
    assert all((codes.codes == before[name]).all() for name, codes in small.layers().items())
    counted = [account(joint_quantize(model, data, bits=8, bias_bits=5))["total_bits"] for model in (small, cleared)]
    assert counted[1] < counted[0]


def test_layers_that_are_not_compressed_are_left_alone():
    plain = CompressedModel(module=convolutional().eval())
    assert sum(without_dead_units(plain, (1, 14, 14)).history[-1]["cleared"].values()) == 0
