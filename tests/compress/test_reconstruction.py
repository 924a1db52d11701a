"""Least squares on the survivors: the known optimum, never worse on the images of the fit, and zeros stay zero."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compress.blocks.reconstruction import reconstruct_, refit
from compress.errors import CalibrationError


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), inputs=st.integers(1, 8), outputs=st.integers(1, 5))
def test_refit_is_the_least_squares_solution(seed, inputs, outputs):
    random = np.random.default_rng(seed)
    x = random.normal(size=(60, inputs)) @ random.normal(size=(inputs, inputs))
    start = random.normal(size=(outputs, inputs))
    y = x @ start.T
    mask = random.random((outputs, inputs)) < 0.6
    found = refit(x.T @ x, y.T @ x, start, mask, ridge=1e-12)
    assert (found[~mask] == 0).all()
    for row in range(outputs):
        kept = mask[row]
        if kept.any():
            best = np.linalg.lstsq(x[:, kept], y[:, row], rcond=None)[0]
            error = np.sum((x[:, kept] @ found[row, kept] - y[:, row]) ** 2)
            assert error <= np.sum((x[:, kept] @ best - y[:, row]) ** 2) + 1e-5 * np.sum(y[:, row] ** 2)


def test_a_refit_by_hand():
    """Of two equal inputs the survivor takes the weight of both; a strong ridge leaves it unchanged."""
    gram = np.array([[1.0, 1.0], [1.0, 1.0]])
    start = np.array([[2.0, 3.0]])
    mask = np.array([[True, False]])
    assert refit(gram, start @ gram, start, mask, ridge=1e-9)[0] == pytest.approx([5, 0])
    assert refit(gram, start @ gram, start, mask, ridge=1e9)[0] == pytest.approx([2, 0], abs=1e-6)
    assert refit(gram, start @ gram, start, mask, ridge=1.0)[0] == pytest.approx([3.5, 0])


def test_a_refit_without_information_leaves_the_weights():
    start, mask = np.ones((1, 2)), np.array([[True, False]])
    assert refit(np.zeros((2, 2)), np.zeros((1, 2)), start, mask).tolist() == [[1, 0]]
    assert refit(np.eye(2), start @ np.eye(2), start, np.zeros((1, 2), dtype=bool)).tolist() == [[0, 0]]


class Small(nn.Module):
    def __init__(self, bias=True):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, stride=2, padding=1, bias=bias)
        self.words = nn.Conv2d(3, 3, 3, padding="same")
        self.head = nn.Linear(12, 4, bias=bias)

    def forward(self, x):
        return self.head(self.words(torch.relu(self.conv(x))).flatten(1))


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_come_closer_and_zeros_stay(bias):
    torch.manual_seed(0)
    original = Small(bias)
    images = np.random.default_rng(0).normal(size=(300, 1, 4, 4)).astype(np.float32)
    pruned = copy.deepcopy(original)
    masks = {}
    for name in ("conv", "words", "head"):
        weight = pruned.get_submodule(name).weight
        masks[name] = np.random.default_rng(1).random(tuple(weight.shape)) < 0.6
        with torch.no_grad():
            weight.mul_(torch.from_numpy(masks[name]))
    before = _distance(original, pruned, images)
    assert reconstruct_(pruned, original, masks, images) == ["conv", "head"]  # padding given as a word is left alone
    assert _distance(original, pruned, images) < 0.7 * before
    for name, mask in masks.items():
        assert (pruned.get_submodule(name).weight.detach().numpy()[~mask] == 0).all()


def _distance(first, second, images):
    with torch.no_grad():
        x = torch.from_numpy(images)
        return float(((first(x) - second(x)) ** 2).mean())


def test_inputs_that_are_not_finite_are_refused():
    net = nn.Sequential(nn.Linear(2, 2))
    images = np.full((4, 2), np.nan, dtype=np.float32)
    with pytest.raises(CalibrationError, match="layer '0': its inputs on the calibration images are not finite; check"):
        reconstruct_(net, net, {"0": np.ones((2, 2), dtype=bool)}, images)
