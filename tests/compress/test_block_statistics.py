"""Layers of a pruned network answer with the means and deviations that they had before."""

import numpy as np
import pytest
import torch
from torch import nn

import cipherpress as cp
from compress.blocks.curves import MeasuredDistortion
from compress.blocks.options import BlockPruning
from compress.blocks.patterns import block_groups, parse_pattern
from compress.blocks.prune import prune_blocks
from compress.blocks.statistics import output_statistics, statistics_held


class Small(nn.Module):
    """A convolution, one without a bias, and a dense layer of two rows per image."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, bias=False)
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.second(torch.relu(self.first(x))).reshape(len(x), -1, 8))


NAMES = ("first", "second", "last")


@pytest.fixture
def images():
    return torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def pruned(model: Small) -> Small:
    with torch.no_grad():
        model.first.weight[0] = 0.0
        model.first.weight[1] *= 0.5
        model.second.weight *= 2.0
        model.last.weight[2] *= 3.0
    return model


def test_held_statistics_are_those_of_the_given_network(images):
    wanted = output_statistics(Small(), NAMES, images)
    assert sorted(wanted) == ["first", "last"] and [len(one) for one in wanted["last"]] == [3, 3]
    model = pruned(Small())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with statistics_held(model, wanted), torch.no_grad():
        held = model(images)
    torch.testing.assert_close(held.movedim(-1, 0).flatten(1).mean(dim=1), wanted["last"][0])
    torch.testing.assert_close(held.movedim(-1, 0).flatten(1).std(dim=1), wanted["last"][1])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_written_statistics_stay_and_a_channel_without_weights_answers_with_its_mean(images):
    wanted = output_statistics(Small(), NAMES, images)
    model = pruned(Small())
    with statistics_held(model, wanted, written=True), torch.no_grad():
        held = model(images)
    with torch.no_grad():
        torch.testing.assert_close(model(images), held, rtol=1e-4, atol=1e-5)
    found = output_statistics(model, NAMES, images)
    torch.testing.assert_close(found["first"][0], wanted["first"][0])
    torch.testing.assert_close(found["first"][1][1:], wanted["first"][1][1:])
    assert found["first"][1][0] < 1e-6
    torch.testing.assert_close(model.first.bias[0].detach(), wanted["first"][0][0])


def test_measured_curves_count_what_is_left_when_statistics_are_held(images):
    """A layer that only scales its channels loses nothing when the statistics are held."""
    model, scaled = Small(), Small()
    with torch.no_grad():
        scaled.first.weight *= 0.5
        scaled.first.bias += 1.0
    groups = {"first": block_groups(parse_pattern("outputs:1"), (4, 1, 3, 3), modulus=1)}

    class Classes(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)[:, 0]

    named = {f"inner.{name}": numbers for name, numbers in groups.items()}
    dense = np.ones((1, 4), dtype=bool)
    held = MeasuredDistortion(Classes(scaled), Classes(model), images.numpy(), named, hold_statistics=True)
    plain = MeasuredDistortion(Classes(scaled), Classes(model), images.numpy(), named)
    assert held("inner.first", dense)[0] < 1e-6 < 1e-3 < plain("inner.first", dense)[0]


def test_block_pruning_holds_statistics_where_it_is_asked_to():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    rows = torch.randn(200, 6, generator=torch.Generator().manual_seed(2))
    data = cp.Dataset("rows", rows.numpy(), model(rows).argmax(dim=1).numpy(), rows[:20].numpy(), np.zeros(20, int))
    config = BlockPruning(images=200, rounds=1, reconstruct=False, hold_statistics=True)
    found = prune_blocks(model, data, block="outputs:1+whole", sparsity=0.3, cost="block-count", config=config)
    wanted, after = (output_statistics(one, ("0", "2"), rows) for one in (model, found.module))
    assert not found.module[0].weight.all()
    torch.testing.assert_close(after["2"][0], wanted["2"][0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after["2"][1], wanted["2"][1], rtol=1e-3, atol=1e-4)
