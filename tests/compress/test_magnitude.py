"""The baseline: every layer loses the same share of weights and keeps its whole range."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.account.accounting import account
from compress.errors import BudgetError, CompressError, ConfigError
from compress.opq.baseline import magnitude
from compress.opq.target_rate import at_rate


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 10))


def test_every_layer_loses_the_same_share_and_the_smallest_weights():
    module = network()
    found = magnitude(module, sparsity=0.8, bits=5).layers()
    for name, layer in (("0", module[0]), ("2", module[2])):
        mask, weight = found[name].mask, np.abs(layer.weight.detach().numpy())
        assert mask.mean() == pytest.approx(0.2)
        assert weight[mask].min() >= weight[~mask].max()


def test_the_largest_weight_is_not_clipped_and_half_the_step_would_clip_it():
    module = network()
    codes = magnitude(module, sparsity=0.5, bits=4).layers()["0"]
    largest = float(module[0].weight.detach().abs().max())
    step = 2.0 ** int(codes.log2_step)
    assert step / 2 * codes.levels < largest <= step * codes.levels


def test_a_rate_is_reached_with_everything_counted():
    model = at_rate(magnitude, network(), 12.0, bits=3)
    assert account(model)["compression_rate"] >= 12.0


def test_bad_options_are_named():
    with pytest.raises(ConfigError, match="bits: got 4.5; allowed: a whole number from 2 to 8"):
        magnitude(network(), bits=4.5)
    with pytest.raises(ConfigError, match="sparsity: got 1; allowed"):
        magnitude(network(), sparsity=1)
    with pytest.raises(BudgetError, match="leaves layer '0' less than one weight per output"):
        magnitude(network(), sparsity=0.99)
    with pytest.raises(CompressError, match="has no Linear, Conv1d or Conv2d layer"):
        magnitude(nn.Sequential(nn.ReLU()))
