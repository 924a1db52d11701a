"""A requested compression rate is reached with no more pruning than it needs."""

import pytest
import torch
from torch import nn

from compress.account.accounting import account
from compress.errors import BudgetError, ConfigError
from compress.opq.opq import opq
from compress.opq.target_rate import KEPT_FACTOR, opq_at_rate


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(100, 60), nn.ReLU(), nn.Linear(60, 10)).eval()


@pytest.mark.parametrize("rate", [8, 12, 20])
def test_the_rate_is_reached_with_the_least_sparsity(net, rate):
    small = opq_at_rate(net, rate, bits=3)
    sparsity = small.history[-1]["options"]["sparsity"]
    assert account(small)["compression_rate"] >= rate
    less = opq(net, sparsity=max(0.0, 1 - (1 - sparsity) / KEPT_FACTOR), bits=3)
    assert sparsity == 0 or account(less)["compression_rate"] < rate


def test_a_rate_that_bits_alone_reach_prunes_nothing(net):
    assert opq_at_rate(net, 2, bits=4).history[-1]["options"]["sparsity"] == 0


def test_rates_out_of_reach_or_out_of_range_are_refused(net):
    with pytest.raises(
        BudgetError, match=r"target-rate: 1000 asked, these options reach \d+\.\d at sparsity 0\.\d+; ask"
    ):
        opq_at_rate(net, 1000, bits=4)
    with pytest.raises(ConfigError, match="target_rate: got 0; allowed: a number above 0"):
        opq_at_rate(net, 0)
