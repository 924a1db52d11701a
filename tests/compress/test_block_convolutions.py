"""prune_blocks on convolutions, grouped ones included, and the effect of a layer's mask on weights and gradients."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.blocks.options import BlockPruning
from compress.blocks.places import layer_places
from compress.blocks.prune import prune_blocks
from compress.dataset import Dataset
from compress.model.masking import layer_mask, mask_layer_


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.depthwise(torch.relu(self.norm(self.first(x)))).flatten(1))


@pytest.mark.parametrize("block", ["residue:4", "outputs:1", "inputs:1", "taps", "tile:2x3"])
def test_convolutions_are_pruned_within_the_budget(block):
    random = np.random.default_rng(0)
    x, y = random.random((300, 1, 4, 4), dtype=np.float32), random.integers(0, 5, 300)
    images = Dataset("images", x[:200], y[:200], x[200:], y[200:])
    torch.manual_seed(0)
    model = Convolutions()
    found = prune_blocks(
        model, images, sparsity=0.2, block=block, cost="plain-blocks", config=BlockPruning(rounds=1, images=100)
    )
    step = found.history[-1]
    assert step["reconstructed"] == ["first", "head"]
    assert step["cost_pruned"] <= 0.8 * step["cost_dense"]
    assert step["original_parameters"] == sum(p.numel() for p in model.parameters())
    places = layer_places(model, images.x_train)
    assert [place.positions for place in places] == [16, 4, 1]
    assert [place.layers_left for place in places] == [3, 2, 1] and places[0].reads_input


def test_a_mask_holds_for_new_weights_and_for_gradients():
    layer = nn.Linear(2, 2)
    mask_layer_(layer, np.array([[True, False], [True, True]]))
    layer.weight = torch.ones(2, 2)
    assert layer.parametrizations["weight"].original.tolist() == [[1, 0], [1, 1]]
    layer(torch.ones(1, 2)).sum().backward()
    assert layer.parametrizations["weight"].original.grad.tolist() == [[1, 0], [1, 1]]
    assert layer_mask(layer).tolist() == [[True, False], [True, True]]
    assert layer_mask(nn.Linear(2, 2)) is None
