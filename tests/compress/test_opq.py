"""OPQ on whole modules: exact sparsity, the bit budget, an unchanged user module, clear refusals."""

import copy
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compress.errors import BudgetError, CompressError, ConfigError
from compress.model.codebook import squared_error
from compress.model.compressed import CompressedModel
from compress.model.folding import fold_batch_norm
from compress.opq.opq import allocation_table, opq


def small_cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.Flatten(),
        nn.Linear(96, 40),
        nn.Linear(40, 10),
    ).eval()


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(60, 30), nn.ReLU(), nn.Linear(30, 5)).eval()


@given(
    sparsity=st.floats(0, 0.9),
    bits=st.floats(2, 8),
    weighting=st.sampled_from(["raw", "relative", "relative_layer", "mean"]),
    granularity=st.sampled_from(["layer", "channel"]),
)
@settings(deadline=None, max_examples=25)
def test_sparsity_is_exact_and_the_bit_budget_holds(sparsity, bits, weighting, granularity):
    small = opq(mlp(), sparsity=sparsity, bits=bits, weighting=weighting, granularity=granularity)
    layers = small.layers()
    size = sum(layer.codes.size for layer in layers.values())
    kept = {name: int(layer.mask.sum()) for name, layer in layers.items()}
    assert size - sum(kept.values()) == round(sparsity * size)
    assert sum(kept[name] * layer.bits for name, layer in layers.items()) <= bits * sum(kept.values()) + 1e-6
    for layer in layers.values():
        assert (layer.codes[~layer.mask] == 0).all()
        assert np.abs(layer.codes).max() <= layer.levels
        assert layer.granularity == granularity


def test_bits_of_scale_are_shared_out_over_layers_not_over_weights():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(120, 60), nn.ReLU(), nn.Linear(60, 5))
    stored, encrypted = (
        opq(net, sparsity=0.5, bits=4.5, objective=objective).layers() for objective in ("storage", "encrypted")
    )
    assert sum(layer.bits for layer in encrypted.values()) <= 4.5 * 2 < sum(layer.bits for layer in stored.values())
    assert all((stored[name].mask == layer.mask).all() for name, layer in encrypted.items())  # pruning is the same


def test_the_users_module_is_not_changed():
    net = small_cnn()
    before = copy.deepcopy(net.state_dict())
    opq(net, sparsity=0.5)
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_the_largest_weights_stay():
    net = mlp()
    codes = opq(net, sparsity=0.5).layers()["0"]
    weights = np.abs(net[0].weight.detach().numpy())
    assert weights[codes.mask].min() >= weights[~codes.mask].max()


def test_normalization_is_folded_before_anything_is_fitted():
    net = small_cnn()
    net[1].running_var.fill_(0.01)
    first = opq(net, sparsity=0.5).layers()
    second = opq(fold_batch_norm(net), sparsity=0.5).layers()
    assert all((first[name].codes == second[name].codes).all() for name in first)


def test_rates_depend_on_the_scale_and_size_only():
    net, other = mlp(), mlp()
    with torch.no_grad():
        weight = net[0].weight
        other[0].weight.copy_(weight.abs().mean() * torch.sign(weight))
    first, second = opq(net, sparsity=0.6), opq(other, sparsity=0.6)
    assert [row["pruned"] for row in allocation_table(first)] == [row["pruned"] for row in allocation_table(second)]


def test_scaling_all_weights_by_a_power_of_two_changes_no_code():
    net, other = mlp(), mlp()
    with torch.no_grad():
        for layer in (other[0], other[2]):
            layer.weight.mul_(8)
    first, second = opq(net, sparsity=0.6).layers(), opq(other, sparsity=0.6).layers()
    for name, layer in first.items():
        assert (layer.codes == second[name].codes).all()
        assert second[name].log2_step == layer.log2_step + 3


def test_scaling_one_channel_changes_that_channel_only():
    net, other = mlp(), mlp()
    with torch.no_grad():
        other[0].weight[3] *= 128
    first, second = (opq(m, sparsity=0, bits=4, granularity="channel").layers()["0"] for m in (net, other))
    rest = np.arange(30) != 3
    assert (first.codes[rest] == second.codes[rest]).all() and (first.log2_step[rest] == second.log2_step[rest]).all()
    assert second.log2_step[3] == first.log2_step[3] + 7


def test_depthwise_layers_and_the_last_one_keep_more():
    rows = {
        row["layer"]: row["pruned"] / row["weights"]
        for row in allocation_table(opq(small_cnn(), sparsity=0.85, weighting="relative"))
    }
    assert rows["3"] <= 0.5
    assert rows["6"] <= 0.9


def test_one_layer_alone_may_lose_more_than_the_last_layers_cap():
    small = opq(nn.Linear(100, 3), sparsity=0.95)
    assert int(small.layers()[""].mask.sum()) == 15


def test_every_value_is_a_code_times_a_power_of_two_and_export_agrees():
    small = opq(small_cnn(), sparsity=0.5, bits=5)
    x = torch.randn(3, 1, 8, 8)
    plain = small.export()
    assert torch.equal(plain(x), small.module(x))
    for name, layer in small.layers().items():
        weight = plain.get_submodule(name).weight.detach().double().numpy()
        assert (weight == layer.codes * 2.0 ** int(layer.log2_step)).all()


def test_history_says_what_was_done():
    step = opq(mlp(), sparsity=0.5, bits=4).history[0]
    assert step["method"] == "opq"
    assert step["options"] == {
        "sparsity": 0.5, "bits": 4, "weighting": "raw", "granularity": "layer", "cap": 0.99, "objective": "storage",
    }  # fmt: skip
    assert step["original_parameters"] == 60 * 30 + 30 + 30 * 5 + 5
    assert allocation_table(CompressedModel(module=mlp())) == []


def test_a_new_style_weight_norm_is_written_out():
    net = mlp()
    nn.utils.parametrizations.weight_norm(net[0])
    x = torch.randn(2, 60)
    small = opq(net, sparsity=0, bits=8)
    assert torch.allclose(small.module(x), net(x), atol=0.02)
    assert nn.utils.parametrize.is_parametrized(net[0])


def test_a_layer_of_zeros_is_accepted():
    net = mlp()
    nn.init.zeros_(net[2].weight)
    codes = opq(net, sparsity=0.3).layers()["2"]
    assert not codes.codes.any()


def message(text):
    return re.escape(text)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"granularity": "row"}, "granularity: got 'row'; allowed: one of layer, channel"),
        ({"cap": 1.0}, "cap: got 1.0; allowed: a share between 0 and 1"),
        ({"sparsity": 2}, "sparsity: got 2; allowed: a share in [0, 1)"),
        ({"sparsity": 1.0}, "sparsity: got 1.0; allowed: a share in [0, 1)"),
        ({"bits": 16}, "bits: got 16; allowed: a number from 2 to 8 per surviving weight"),
        ({"bits": 1}, "bits: got 1; allowed: a number from 2 to 8 per surviving weight"),
        ({"objective": "size"}, "objective: got 'size'; allowed: one of storage, encrypted"),
        ({"weighting": "paper"}, "weighting: got 'paper'"),
    ],
)
def test_options_out_of_range_are_refused_before_the_model_is_looked_at(options, text):
    with pytest.raises(ConfigError, match=message(text)):
        opq(None, **options)


def test_budgets_that_cannot_be_met_are_refused():
    with pytest.raises(BudgetError, match="the layers' caps allow 0.5000"):
        opq(mlp(), sparsity=0.9, cap=0.5)


def test_a_model_without_a_layer_to_compress_is_refused():
    with pytest.raises(CompressError, match="model ReLU: it has no Linear, Conv1d or Conv2d layer to compress"):
        opq(nn.ReLU())


def test_a_quantized_model_is_refused():
    with pytest.raises(CompressError, match="layer '0': is quantized already; run opq on the uncompressed model"):
        opq(opq(mlp(), sparsity=0.5))


def test_weights_that_are_not_finite_are_refused():
    net = mlp()
    with torch.no_grad():
        net[2].weight[0, 0] = float("nan")
    with pytest.raises(CompressError, match="layer '2': has weights that are not finite"):
        opq(net)


def test_tied_weights_share_their_codes_and_count_once():
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    net[2].weight = net[0].weight
    small = opq(net, sparsity=0.5, bits=4)
    assert [row["layer"] for row in allocation_table(small)] == ["0", "4"]
    assert torch.equal(small.module[0].weight, small.module[2].weight)
    first, second = small.layers()["0"], small.layers()["2"]
    assert np.array_equal(first.codes, second.codes) and np.array_equal(first.log2_step, second.log2_step)
    kept = first.mask.sum() + small.layers()["4"].mask.sum()
    assert kept == (64 + 24) // 2


def test_a_weight_tied_to_something_that_cannot_be_quantized_is_refused_by_name():
    net = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 8))
    net[1].weight = net[0].weight
    with pytest.raises(CompressError, match="layer '1': shares its weight with '0.weight', which cannot be quantized"):
        opq(net)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_made_by_a_hook_are_refused():
    net = mlp()
    nn.utils.weight_norm(net[0])
    with pytest.raises(CompressError, match="layer '0': its weight is computed by a hook"):
        opq(net)


@pytest.mark.parametrize(("b", "sparsity", "log2_step", "other"), [(1.37, 0.9, 1, 0), (0.775, 0.5, -1, 0)])
def test_the_step_clips_where_survivors_of_a_pruned_layer_end(b, sparsity, log2_step, other):
    """Laplace weights at 4 bits clip at 7.0004 b with nine tenths pruned and at 5.6 b with half pruned.

    The step is near b, or 0.8 b. The constant of a layer that is not pruned (5.0286 b) would give half the first step;
    the survivors' mean in place of b would give twice the second.
    """
    size = 10_000
    magnitudes = -b * np.log1p(-(np.arange(size) + 0.5) / size)
    weight = np.random.default_rng(0).permutation(magnitudes * np.where(np.arange(size) % 2, 1, -1))
    net = nn.Sequential(nn.Linear(100, 100))
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(weight.reshape(100, 100)))
    codes = opq(net, sparsity=sparsity, bits=4).layers()["0"]
    survivors = weight[np.abs(weight) >= -b * np.log1p(-sparsity)]
    assert codes.log2_step == log2_step
    assert squared_error(survivors, log2_step, 7) < squared_error(survivors, other, 7)
