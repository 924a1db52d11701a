"""Batch normalization is folded exactly before compression, or left in place where it cannot be folded."""

import pytest
import torch
from torch import nn

from compress.model.folding import fold_batch_norm


def seasoned(module):
    """The module with normalizations whose statistics and factors differ from the initial ones."""
    torch.manual_seed(1)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_()
            part.running_var.uniform_(0.2, 3)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return module.double().eval()


def norms(module):
    return [part for part in module.modules() if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d))]


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.ReLU()), (3, 9, 9)),
        (nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8, affine=False)), (4, 6, 6)),
        (nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)), (3, 9)),
        (nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2), nn.BatchNorm1d(2)), (5,)),
    ],
)
def test_folding_is_exact_and_leaves_the_original(module, shape):
    module = seasoned(module)
    x = torch.randn(7, *shape, dtype=torch.float64)
    wanted, before = module(x), len(norms(module))
    folded = fold_batch_norm(module)
    assert norms(folded) == []
    torch.testing.assert_close(folded(x), wanted, rtol=1e-12, atol=1e-12)
    assert len(norms(module)) == before and torch.equal(module(x), wanted)


def test_one_weight_folds_to_its_closed_form():
    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1, eps=0.0)).double().eval()
    linear, norm = net
    for tensor, value in (
        (linear.weight, 0.75),
        (linear.bias, 0.25),
        (norm.weight, 3.0),
        (norm.bias, 0.5),
        (norm.running_mean, 1.0),
        (norm.running_var, 4.0),
    ):
        nn.init.constant_(tensor, value)
    folded = fold_batch_norm(net).get_submodule("0")
    assert (folded.weight.item(), folded.bias.item()) == (1.125, -0.625)


class Shared(nn.Module):
    """One linear layer that is called twice and normalized once, and one whose output is read twice."""

    def __init__(self):
        super().__init__()
        self.twice, self.read_twice = nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm, self.other = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

    def forward(self, x):
        y = self.read_twice(self.twice(self.norm(self.twice(x))))
        return self.other(y) + y


class Branching(nn.Module):
    """Control flow that tracing cannot follow."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.linear(x)) if x.sum() > 0 else self.linear(x)


@pytest.mark.parametrize("module", [Shared(), Branching(), nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4))])
def test_what_does_not_fold_stays_and_computes_the_same(module):
    module = seasoned(module)
    x = torch.randn(6, 4, dtype=torch.float64)
    folded = fold_batch_norm(module)
    assert len(norms(folded)) == len(norms(module))
    torch.testing.assert_close(folded(x), module(x))


def test_a_norm_over_another_axis_is_left():
    module = seasoned(nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(3)))
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(fold_batch_norm(module)(x), module(x))
