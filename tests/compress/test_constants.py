"""Branches without weights: they become constants, and what made them goes; the answers stay."""

import numpy as np
import pytest
import torch
from torch import nn

import cipherpress as cp
from compress.blocks.options import BlockPruning
from compress.blocks.prune import prune_blocks
from compress.constants import without_constants
from compress.network import Add, Affine, Concat, Dense, Gather, Input, Multiply, Network, Node, Polynomial, Weights


def dense(name: str, source: str, matrix: np.ndarray, bias: list[float]) -> Dense:
    weights = Weights(codes=matrix, step=np.array(1.0))
    return Dense(name=name, inputs=(source,), shape=(len(matrix),), weights=weights, bias=np.array(bias))


def network(*last: Node, dead: bool = True) -> tuple[Node, ...]:
    """A square and a product beside a layer whose weights are all pruned, and what reads both."""
    matrix = np.array([[1.0, 2.0], [-1.0, 0.5]])
    return (
        Input(name="input", inputs=(), shape=(2,)),
        dense("first", "input", matrix, [0.5, -1.0]),
        Polynomial(name="square", inputs=("first",), shape=(2,), coefficients=np.array([[0.0], [0.0], [1.0]])),
        Multiply(name="product", inputs=("square", "first"), shape=(2,)),
        dense("pruned", "product", matrix * (not dead), [3.0, 4.0]),
        Gather(name="turned", inputs=("pruned",), shape=(2,), indices=np.array([1, 0])),
        *last,
    )


def same_answers(before: tuple[Node, ...], after: tuple[Node, ...]) -> None:
    rows = np.random.default_rng(3).standard_normal((5, 2))
    np.testing.assert_array_equal(Network(nodes=after).run(rows), Network(nodes=before).run(rows))


def test_a_branch_that_is_added_becomes_a_shift():
    nodes = network(Add(name="sum", inputs=("first", "turned"), shape=(2,)))
    after = without_constants(nodes)
    assert [node.name for node in after] == ["input", "first", "sum"]
    assert isinstance(after[-1], Affine) and after[-1].shift.tolist() == [4.0, 3.0] and after[-1].scale == 1.0
    same_answers(nodes, after)


def test_a_branch_that_is_multiplied_becomes_a_factor():
    nodes = network(Multiply(name="gated", inputs=("turned", "first"), shape=(2,)))
    after = without_constants(nodes)
    assert isinstance(after[-1], Affine) and after[-1].scale.tolist() == [4.0, 3.0] and after[-1].shift == 0.0
    same_answers(nodes, after)


def test_a_constant_that_nothing_can_take_stays():
    nodes = network(Concat(name="both", inputs=("first", "turned"), shape=(4,), axis=0))
    assert without_constants(nodes) == nodes


@pytest.mark.parametrize("last", ["turned", "square"])
def test_networks_without_dead_branches_and_constant_networks_stay(last):
    nodes = network(dense("last", last, np.eye(2), [0.0, 0.0]), dead=last == "turned")
    assert without_constants(nodes) is nodes


class TwoBranches(nn.Module):
    """Two branches with a square each, of which the second hardly matters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.outer = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.hidden, self.small, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        with torch.no_grad():
            self.small.weight.mul_(1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x + self.outer(torch.relu(self.inner(x)))
        return self.head(x + self.small(torch.relu(self.hidden(x))))  # type: ignore[no-any-return]


def test_block_pruning_takes_the_branch_that_matters_least_and_conversion_its_square():
    torch.manual_seed(0)
    model = TwoBranches()
    rows = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    labels = model(rows).argmax(dim=1).numpy()
    data = cp.Dataset("rows", rows.numpy(), labels, rows[:50].numpy(), labels[:50])
    config = BlockPruning(curves="taylor", images=200, rounds=1, reconstruct=False)
    families = "whole+whole+branch+whole+branch+whole"
    pruned = prune_blocks(model, data, sparsity=1 / 6, block=families, cost="block-count", config=config)
    kept = {name: float((layer.weight != 0).double().mean()) for name, layer in pruned.module.named_children()}
    assert kept.pop("small") == 0.0 and min(kept.values()) > 0.9
    converted = cp.convert(pruned, data, cp.Conversion(epochs=0))
    assert [node.name for node in converted.nodes if isinstance(node, (Dense, Polynomial))] == [
        "first", "inner", "relu", "outer", "head"
    ]  # fmt: skip
