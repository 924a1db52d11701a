"""Branches without weights: they become constants, and what made them goes; the answers stay."""

import pytest
import torch
from torch import nn

import cipherpress as cp
from compress.blocks.options import BlockPruning
from compress.blocks.prune import prune_blocks
from compress.conversion.stable import depth
from compress.errors import UnsupportedLayerError
from compress.graph.importing import import_model
from compress.graph.layers import Imported
from compress.network import Dense, Polynomial


class Branch(nn.Module):
    """A layer beside a branch of a square and a layer, and what `joined` makes of both."""

    def __init__(self, joined, *, dead=True):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.inner, self.pruned = nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.joined = joined
        with torch.no_grad():
            self.pruned.weight.mul_(not dead)

    def forward(self, x):
        x = self.first(x)
        return self.joined(x, 2.0 * self.pruned(torch.square(self.inner(x))))


JOINED = {
    "x + c": lambda x, c: x + c,
    "c + x": lambda x, c: c + x,
    "x - c": lambda x, c: x - c,
    "c - x": lambda x, c: torch.sub(c, x),
    "x * c": lambda x, c: torch.mul(x, other=c),
    "c += x": lambda x, c: c.add_(x),
}


def layers(found: Imported) -> list[tuple[str, str]]:
    return [(layer.name, layer.kind) for layer in found.layers]


def same_answers(model: nn.Module, found: Imported, shape: tuple[int, ...]) -> None:
    rows = torch.randn(5, *shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(found.graph_module(rows), model(rows))


@pytest.mark.parametrize("name", JOINED)
def test_a_branch_becomes_a_shift_or_a_factor(name):
    model = Branch(JOINED[name]).eval()
    found = import_model(model, (4,))
    assert [one for _, one in layers(found)] == ["linear", "affine"] and found.layers[0].name == "first"
    same_answers(model, found, (4,))


def test_a_constant_that_nothing_can_take_stays():
    model = Branch(lambda x, c: torch.cat([x, c], dim=1)).eval()
    found = import_model(model, (4,))
    assert ("pruned", "linear") in layers(found) and found.layers[-1].kind == "concat"
    same_answers(model, found, (4,))


def test_living_branches_and_constant_networks_stay():
    living = import_model(Branch(lambda x, c: x + c, dead=False).eval(), (4,))
    assert ("pruned", "linear") in layers(living) and living.layers[-1].kind == "add"
    constant = import_model(Branch(lambda x, c: c).eval(), (4,))
    assert ("pruned", "linear") in layers(constant)


def test_a_value_changed_in_place_within_a_dead_branch_is_still_refused():
    """The branch goes, but what it did to the value that is added would go with it."""

    class InPlace(Branch):
        def forward(self, x):
            x = self.first(x)
            return x + self.pruned(torch.relu_(x))

    with pytest.raises(UnsupportedLayerError, match="in place on a value that is read again later"):
        import_model(InPlace(None).eval(), (4,))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.norm, self.skip = nn.BatchNorm2d(3), nn.Identity()

    def forward(self, x):
        y = self.norm(self.second(torch.relu(self.first(x))))
        y += self.skip(x)
        return torch.relu(y)


def residual() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), Block(), Block(), Block(), nn.Flatten(), nn.Linear(108, 2))
    for block in model[2:5]:
        nn.init.uniform_(block.norm.bias)
    return model.eval()


@pytest.mark.parametrize(("dead", "left"), [((3,), 5), ((2, 3), 3), ((2, 3, 4), 1)])
def test_activations_around_a_dead_branch_become_one(dead, left):
    model = residual()
    assert depth(import_model(model, (1, 8, 8)).layers) == 7
    for place in dead:
        nn.init.zeros_(model[place].second.weight)
    found = import_model(model, (1, 8, 8))
    assert depth(found.layers) == left
    assert sum(layer.kind == "conv" for layer in found.layers) == 7 - 2 * len(dead)
    same_answers(model, found, (1, 8, 8))


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


@pytest.mark.parametrize("options", [{"curves": "taylor"}, {"curves": "measured", "hold_statistics": True}])
def test_block_pruning_takes_the_branch_that_matters_least_and_conversion_its_square(options):
    torch.manual_seed(0)
    model = TwoBranches()
    rows = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    labels = model(rows).argmax(dim=1).numpy()
    data = cp.Dataset("rows", rows.numpy(), labels, rows[:50].numpy(), labels[:50])
    config = BlockPruning(images=200, rounds=1, reconstruct=False, **options)
    families = "whole+whole+branch+whole+branch+whole"
    pruned = prune_blocks(model, data, sparsity=1 / 6, block=families, cost="block-count", config=config)
    kept = {name: float((layer.weight != 0).double().mean()) for name, layer in pruned.module.named_children()}
    assert kept.pop("small") == 0.0 and min(kept.values()) > 0.9
    converted = cp.convert(pruned, data, cp.Conversion(epochs=0))
    assert [node.name for node in converted.nodes if isinstance(node, (Dense, Polynomial))] == [
        "first", "inner", "relu", "outer", "head"
    ]  # fmt: skip
