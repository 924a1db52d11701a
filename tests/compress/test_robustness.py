"""Unusual networks: tied, frozen, half-precision and broken weights."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import cipherpress as cp
from compress.account.accounting import account
from compress.blocks.prune import prune_blocks
from compress.dataset import Dataset
from compress.errors import CompressError
from compress.model.precision import precision
from compress.opq.opq import opq
from compress.training.finetune import finetune


def points() -> Dataset:
    """Three classes: the class is the third of the sixteen features that is large."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 240)
    features = rng.normal(0, 0.3, (240, 16)).astype(np.float32)
    for row, label in zip(features, labels, strict=True):
        row[5 * label : 5 * label + 5] += 1
    return Dataset(
        name="points", x_train=features[:180], y_train=labels[:180], x_test=features[180:], y_test=labels[180:]
    )


def network(width: int = 12) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)
    )


def tied() -> nn.Sequential:
    """The second and third layer share one weight."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12), nn.Linear(12, 3)
    )
    net[5].weight = net[3].weight
    return net


def test_tied_layers_stay_tied_through_finetuning_saving_and_loading(tmp_path):
    tuned = finetune(opq(tied(), sparsity=0.5, bits=4), points(), epochs=2, augment=False)
    assert torch.equal(tuned.module[3].weight, tuned.module[5].weight)
    cp.save(tuned, tmp_path / "small")
    loaded = cp.load(tmp_path / "small", module=tied())
    assert torch.equal(loaded.module[3].weight, loaded.module[5].weight)
    images = torch.from_numpy(points().x_test)
    with torch.no_grad():
        assert torch.equal(loaded.module(images), tuned.module(images))
    again = finetune(loaded, points(), epochs=1, augment=False)
    assert torch.equal(again.module[3].weight, again.module[5].weight)


def test_tied_layers_are_counted_once():
    untied = copy.deepcopy(tied())
    untied[5].weight = nn.Parameter(untied[3].weight.detach().clone())
    one, two = account(opq(tied(), sparsity=0.5, bits=4)), account(opq(untied, sparsity=0.5, bits=4))
    assert two["parameters"] - one["parameters"] == 144
    assert len(two["layers"]) == len(one["layers"]) + 1


def test_block_pruning_refuses_tied_layers_by_name():
    with pytest.raises(CompressError, match="layer '5': shares its weight with '3'"):
        prune_blocks(tied(), points(), block="tile:4x4", sparsity=0.3)


def test_frozen_layers_are_compressed_and_do_not_move():
    net = network()
    for parameter in net[1].parameters():
        parameter.requires_grad = False
    small = opq(net, sparsity=0.5, bits=4)
    tuned = finetune(small, points(), epochs=2, learning_rate=1e-2, augment=False)
    assert torch.equal(tuned.module[1].weight, small.module[1].weight)
    assert torch.equal(tuned.module[1].bias, small.module[1].bias)
    assert not torch.equal(tuned.module[3].weight, small.module[3].weight)
    exported = dict(tuned.export().named_parameters())
    assert not exported["1.weight"].requires_grad and exported["3.weight"].requires_grad


def test_a_network_that_is_frozen_whole_has_nothing_to_finetune():
    net = network().requires_grad_(False)
    with pytest.raises(CompressError, match="every parameter is frozen"):
        finetune(opq(net, sparsity=0.5, bits=4), points(), epochs=1)


def test_a_frozen_normalization_keeps_its_statistics():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 3))
    net[3].requires_grad_(False)
    before = copy.deepcopy(net[3].running_mean)
    small = opq(net, sparsity=0.3, bits=5)
    kept = [part for part in small.module.modules() if isinstance(part, nn.BatchNorm1d)]
    tuned = finetune(small, points(), epochs=1, augment=False)
    for part in (part for part in tuned.module.modules() if isinstance(part, nn.BatchNorm1d)):
        assert kept and torch.equal(part.running_mean, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_networks_become_float32_with_the_same_values(dtype):
    net = network().to(dtype)
    small = opq(net, sparsity=0.5, bits=4)
    assert precision(small.module) == torch.float32
    assert next(net.parameters()).dtype == dtype
    wide = opq(copy.deepcopy(net).float(), sparsity=0.5, bits=4)
    for name, codes in small.layers().items():
        assert np.array_equal(codes.codes, wide.layers()[name].codes)
    finetune(small, points(), epochs=1, augment=False)


def test_double_precision_networks_stay_double():
    tuned = finetune(opq(network().double(), sparsity=0.5, bits=4), points(), epochs=1, augment=False)
    assert precision(tuned.module) == torch.float64


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("path", ["3.weight", "3.bias"])
def test_numbers_that_are_not_finite_are_refused_with_their_layer(path, value):
    net = network()
    with torch.no_grad():
        dict(net.named_parameters())[path].view(-1)[0] = value
    with pytest.raises(CompressError, match="layer '3'.*not finite"):
        opq(net)


@pytest.mark.parametrize("scale", [1e-30, 1e-41, 1e30])
def test_extreme_magnitudes_give_finite_steps_and_weights(scale):
    net = network()
    with torch.no_grad():
        net[3].weight.mul_(scale / net[3].weight.abs().max())
    small = opq(net, sparsity=0.5, bits=4)
    assert torch.isfinite(small.module[3].weight).all()
    assert np.abs(small.layers()["3"].log2_step).max() <= 126


def test_a_layer_pruned_whole_by_blocks_stays_pruned_under_opq():
    pruned = prune_blocks(network(), points(), block="tile:4x4", cost="plain-blocks", sparsity=0.3)
    with torch.no_grad():
        chain = pruned.module[3].parametrizations.weight
        chain[0].mask.zero_()
    small = opq(pruned, sparsity=0.75, bits=4)
    assert not small.layers()["3"].mask.any()
    assert small.layers()["1"].mask.any()
