"""A cached prefix gives the same numbers, computes less, and leaves the network unchanged."""

import pytest
import torch
from torch import nn

from cipherpress.zoo.transformers import vit
from compress.blocks.prefix_cache import cached_prefix


class Awkward(nn.Module):
    """An operation in place, a layer that is called twice, and a branch around the layer."""

    def __init__(self):
        super().__init__()
        self.a, self.twice, self.b, self.c = (nn.Linear(6, 6) for _ in range(4))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        h = self.relu(self.a(x))
        h = self.twice(h)
        skipped = self.b(h)
        skipped += h
        h = self.c(self.twice(skipped))
        h += skipped
        return h


def networks():
    torch.manual_seed(0)
    convolutional = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU()), nn.Flatten(),
        nn.Linear(5 * 100, 7), nn.Linear(7, 3),
    )  # fmt: skip
    return {
        "awkward": (Awkward(), torch.randn(5, 6)),
        "convolutional": (convolutional, torch.randn(5, 1, 14, 14)),
        "vit": (vit(), torch.randn(3, 1, 28, 28)),
    }


@pytest.mark.parametrize("kind", ["awkward", "convolutional", "vit"])
def test_the_answers_are_the_same_numbers_for_every_layer(kind):
    net, x = networks()[kind]
    net.eval()
    layers = [(name, part) for name, part in net.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    with torch.no_grad():
        before = net(x)
        for name, layer in layers:
            changed = []
            for _ in range(2):
                layer.weight.mul_(1.1)
                expected = net(x)
                layer.weight.mul_(1.25)
                changed.append((layer.weight.clone(), net(x)))
            with cached_prefix(net, layer, x):
                for weight, wanted in changed * 2:
                    layer.weight.copy_(weight)
                    assert torch.equal(net(x), wanted), name
            assert not torch.equal(expected, wanted)
            layer.weight.copy_(changed[0][0] / 1.1 / 1.25)
            assert torch.allclose(net(x), before, atol=1e-3)
            before = net(x)
    assert all("forward" not in vars(part) for part in net.modules())


def test_what_runs_before_the_layer_runs_once():
    net, x = networks()["convolutional"]
    calls = []
    hook = nn.Conv2d.forward
    try:
        nn.Conv2d.forward = lambda self, value: (calls.append(self), hook(self, value))[1]
        with torch.no_grad(), cached_prefix(net.eval(), net[4], x):
            for _ in range(3):
                net(x)
    finally:
        nn.Conv2d.forward = hook
    assert len(calls) == 2  # both convolutions, once at the start
