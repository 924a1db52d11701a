"""Distortion curves: measured ones equal a run of the pruned network, Taylor ones follow from the responses."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.blocks.curves import IMAGES, MeasuredDistortion, taylor_distortion
from compress.blocks.patterns import block_groups, parse_pattern

GROUPS = {"0": block_groups(parse_pattern("outputs:1"), (6, 4), modulus=1)}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(IMAGES + 40, 4)).astype(np.float32)


def test_the_divergence_of_a_pruned_network_by_hand(net, images):
    mask = np.array([True, False, True, True, False, True])
    found = MeasuredDistortion(net, net, images, GROUPS)("0", np.stack([np.ones(6, dtype=bool), mask]))
    with torch.no_grad():
        x = torch.from_numpy(images[:IMAGES])
        before = torch.softmax(net(x).double(), 1)
        net[0].weight[[1, 4]] = 0
        after = torch.softmax(net(x).double(), 1)
    assert found[0] == pytest.approx(0, abs=1e-9)
    assert found[1] == pytest.approx(float((before * (before / after).log()).sum(1).mean()), rel=1e-5)


def test_measuring_leaves_the_network_unchanged(net, images):
    before = {key: value.clone() for key, value in net.state_dict().items()}
    measured = MeasuredDistortion(net, net, images, GROUPS)
    first = measured("0", np.eye(6, dtype=bool))
    assert (measured("0", np.eye(6, dtype=bool)) == first).all()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_distortion_includes_earlier_pruning(net, images):
    """Distortion is measured against the reference network, not against the module as it is now."""
    pruned = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    pruned.load_state_dict(net.state_dict())
    with torch.no_grad():
        pruned[2].weight[0] = 0
    dense = np.ones((1, 6), dtype=bool)
    assert MeasuredDistortion(pruned, net, images, GROUPS)("0", dense)[0] > 1e-3


def test_taylor_takes_the_blocks_together():
    responses = {"0": np.array([[1.0, 2.0], [-1.0, 2.0], [3.0, 0.0]])}
    masks = np.array([[True, True, True], [False, True, True], [False, False, True], [False, False, False]])
    assert taylor_distortion(responses)("0", masks).tolist() == [0, 5, 16, 25]
