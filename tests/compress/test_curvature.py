"""Curvature: it is the Fisher information by definition, and OPQ prunes by it."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from compress.dataset import Dataset
from compress.errors import CalibrationError, ConfigError, DataError
from compress.model.folding import fold_batch_norm
from compress.opq.curvature import weight_curvature
from compress.opq.masks import rank_mask
from compress.opq.opq import allocation_table, opq
from compress.opq.shots import masks_only


def data(features=6, images=4096, seed=0):
    x = np.random.default_rng(seed).normal(size=(images, features)).astype(np.float32)
    return Dataset(name="x", x_train=x, y_train=None, x_test=x, y_test=None, task="classes")


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3)).eval()


def test_curvature_of_a_linear_classifier_equals_the_closed_form():
    """Diagonal Fisher information of softmax regression, from input j to class k: E[p_k (1 - p_k) x_j^2]."""
    torch.manual_seed(1)
    model, images = nn.Sequential(nn.Linear(6, 3)).eval(), data(images=40_000)
    found = weight_curvature(model, images, images=40_000)["0"]
    with torch.no_grad():
        x = torch.from_numpy(images.x_train)
        p = torch.softmax(model(x), 1)
        wanted = ((p * (1 - p)).T @ x.square() / len(x)).numpy()
    assert found == pytest.approx(wanted, rel=0.12)
    assert np.mean(found / wanted) == pytest.approx(1, abs=0.03)


def test_curvature_repeats_and_leaves_the_model_unchanged():
    model = net()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first, second = weight_curvature(model, data(), seed=3), weight_curvature(model, data(), seed=3)
    assert all((first[name] == second[name]).all() for name in first)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_pruned_quantized_and_folded_weights_are_the_ones_that_run():
    small = opq(net(), sparsity=0.5, bits=4)
    plain = {name: values for name, values in weight_curvature(small.export(), data()).items()}
    assert all((values == plain[name]).all() for name, values in weight_curvature(small, data()).items())
    normed = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3)).eval()
    normed[1].running_var.fill_(0.1)
    folded = weight_curvature(fold_batch_norm(normed), data())
    assert (weight_curvature(normed, data())["0"] == folded["0"]).all()


def test_rates_and_masks_follow_the_scores_and_steps_the_weights():
    """OPQ by curvature prunes the same weights as OPQ of a network with weights |w| sqrt(E[g^2])."""
    model, curvature = net(), weight_curvature(net(), data())
    small = opq(model, sparsity=0.6, bits=4, weighting="curvature", curvature=curvature)
    scored = net()
    with torch.no_grad():
        for name in ("0", "2"):
            layer = scored.get_submodule(name)
            layer.weight.mul_(torch.from_numpy(np.sqrt(curvature[name])).float())
    wanted = opq(scored, sparsity=0.6, bits=4)
    for name, codes in small.layers().items():
        assert (codes.mask == wanted.layers()[name].mask).all()
    rows, others = allocation_table(small), allocation_table(wanted)
    assert [row["pruned"] for row in rows] == [row["pruned"] for row in others]
    assert [row["laplace_scale"] for row in rows] == pytest.approx([row["laplace_scale"] for row in others])
    for name, codes in small.layers().items():
        weight = model.get_submodule(name).weight.detach().numpy()
        kept = codes.mask & (np.abs(codes.codes) < codes.levels)
        assert np.abs(codes.values() - weight)[kept].max() <= 2.0 ** (float(codes.log2_step) - 1) + 1e-9


def test_equal_curvatures_give_the_raw_weighting():
    model = net()
    same = {name: np.full(tuple(model.get_submodule(name).weight.shape), 4.0) for name in ("0", "2")}
    first = opq(model, sparsity=0.6, bits=4).layers()
    second = opq(model, sparsity=0.6, bits=4, weighting="curvature", curvature=same).layers()
    assert all((first[name].codes == second[name].codes).all() for name in first)


def test_bits_do_not_depend_on_the_curvature():
    curvature = {"0": np.full((12, 6), 1e4), "2": np.ones((3, 12))}
    raw, weighted = opq(net(), sparsity=0, bits=4), opq(
        net(), sparsity=0, bits=4, weighting="curvature", curvature=curvature
    )  # fmt: skip
    assert [row["bits"] for row in allocation_table(weighted)] == [row["bits"] for row in allocation_table(raw)]


def test_curvature_loses_less_than_magnitudes_where_inputs_differ():
    """An input that is nearly constant zero carries large weights that matter little."""
    model, images = net(), data()
    images.x_train[:, :3] *= 0.01
    with torch.no_grad():
        model[0].weight[:, :3] *= 3
    curvature = weight_curvature(model, images)
    x = torch.from_numpy(images.x_train)
    with torch.no_grad():
        before = torch.log_softmax(model(x), 1)
        lost = [
            float((before.exp() * (before - torch.log_softmax(small.module(x), 1))).sum(1).mean())
            for small in (
                opq(model, sparsity=0.5, bits=8),
                opq(model, sparsity=0.5, bits=8, weighting="curvature", curvature=curvature),
            )
        ]
    assert lost[1] < 0.3 * lost[0]


def test_what_was_pruned_stays_pruned_and_its_scores_do_not_count():
    model = net()
    held = masks_only(opq(model, sparsity=0.5, bits=8))
    curvature = weight_curvature(held, data())
    small = opq(held, sparsity=0.7, bits=4, weighting="curvature", curvature=curvature)
    for name, mask in held.masks().items():
        assert not small.layers()[name].mask[~mask].any()
    first = next(row for row in allocation_table(small) if row["layer"] == "0")
    values = np.abs(held.module[0].weight.detach().double().numpy()) * np.sqrt(curvature["0"])
    assert first["laplace_scale"] == pytest.approx(values[held.masks()["0"]].mean())
    wanted = rank_mask(np.where(held.masks()["0"], np.maximum(values, 1e-300), 0.0), first["pruned"])
    assert (small.layers()["0"].mask == wanted).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weighting": "curvature"}, ConfigError, "weight_curvature"),
        ({"curvature": {}}, ConfigError, "weighting"),
        ({"weighting": "curvature", "curvature": {"0": np.ones((12, 6))}}, CalibrationError, "'2'"),
        (
            {"weighting": "curvature", "curvature": {"0": np.ones((6, 12)), "2": np.ones((3, 12))}},
            CalibrationError, "'0'",
        ),
        (
            {"weighting": "curvature", "curvature": {"0": np.ones((12, 6)), "2": -np.ones((3, 12))}},
            CalibrationError, "'2'",
        ),
    ],
)  # fmt: skip
def test_refusals_name_what_is_wrong(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        opq(net(), sparsity=0.5, **options)


def test_images_that_break_the_network_are_refused():
    broken = data()
    broken.x_train[0, 0] = np.inf
    with pytest.raises(DataError, match="x_train holds values that are not finite as float32; clean the data"):
        weight_curvature(net(), broken)
    large = net()
    with torch.no_grad():
        for parameter in large.parameters():
            parameter.fill_(1e30)
    with pytest.raises(CalibrationError, match="the network's answers are not finite; check its weights and the data"):
        weight_curvature(large, data())
    with pytest.raises(ConfigError, match="images: got 0; allowed: a whole number, 1 or more"):
        weight_curvature(net(), data(), images=0)
