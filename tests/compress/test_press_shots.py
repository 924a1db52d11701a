"""`press` in shots: OPQ in steps by curvature, and conversion that learns from the model as it was given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from compress.conversion.convert import convert
from compress.dataset import Dataset
from compress.network import Dense, Network
from compress.opq.shots import opq_in_shots, rising_shots
from compress.press.pressing import EPOCHS_BETWEEN, pressed
from compress.press.setting import Setting
from tests.sums import sums

SETTING = Setting(sparsity=0.6, bits=4, shots=2, finetune_epochs=1, convert_epochs=1)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return sums()


@pytest.fixture(scope="module")
def model(data: Dataset) -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2))
    rows, labels = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    steps = torch.optim.Adam(made.parameters(), lr=0.02)
    for _ in range(100):  # labels count only for a model that knows something about them
        steps.zero_grad()
        nn.functional.cross_entropy(made(rows), labels).backward()
        steps.step()
    return made


def codes(network: Network) -> list[np.ndarray]:
    return [node.weights.codes for node in network.nodes if isinstance(node, Dense)]


def test_shots_are_those_of_opq_and_conversion_learns_from_the_given_model(model: nn.Module, data: Dataset) -> None:
    found = pressed(model, data, SETTING, augment=False, seed=3)
    shots = rising_shots(0.6, 4, shots=2, epochs_between=EPOCHS_BETWEEN, epochs=1)
    small = opq_in_shots(model, data, shots, seed=3)
    wanted = convert(small, data, SETTING.conversion, teacher=model, seed=3)
    alone = convert(small, data, SETTING.conversion, seed=3)
    for own, other in zip(codes(found), codes(wanted), strict=True):
        np.testing.assert_array_equal(own, other)
    np.testing.assert_array_equal(found.run(data.x_test[:20]), wanted.run(data.x_test[:20]))
    assert not np.array_equal(found.run(data.x_test[:20]), alone.run(data.x_test[:20]))


def test_shots_prune_the_share_that_was_asked_for(model: nn.Module, data: Dataset) -> None:
    found = pressed(model, data, SETTING, augment=False, seed=3)
    kept = sum(int(node.weights.mask.sum()) for node in found.nodes if isinstance(node, Dense))
    assert kept == pytest.approx(0.4 * (12 * 16 + 16 * 2), abs=2)


def test_without_shots_nothing_changed(model: nn.Module, data: Dataset) -> None:
    plain = Setting(sparsity=0.6, bits=4, finetune_epochs=1, convert_epochs=1)
    found = pressed(model, data, plain, augment=False, seed=3)
    assert plain.shots is None and not all(
        np.array_equal(one, other)
        for one, other in zip(codes(found), codes(pressed(model, data, SETTING, augment=False, seed=3)), strict=True)
    )
