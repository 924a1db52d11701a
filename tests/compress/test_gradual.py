"""OPQ in several shots: pruned weights stay pruned, the last sparsity is met, and several lose less than one."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.dataset import Dataset
from compress.errors import ConfigError
from compress.opq.opq import opq
from compress.opq.shots import Shot, masks_only, opq_in_shots, rising_shots
from compress.training.loop import accuracy, fit_
from compress.training.schedule import Schedule


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    x = random.random((2500, 16), dtype=np.float32)
    y = np.abs((x - 0.5) @ random.normal(size=(16, 5))).argmax(axis=1)
    return Dataset(
        name="toy", x_train=x[:2000], y_train=y[:2000], x_test=x[2000:], y_test=y[2000:])  # fmt: skip


@pytest.fixture(scope="module")
def plain(data):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 5))
    fit_(
        net, torch.from_numpy(data.x_train), torch.from_numpy(data.y_train),
        Schedule(epochs=25, learning_rate=1e-2, batch_size=64),
        loss=lambda outputs, targets, inputs: nn.functional.cross_entropy(outputs, targets),
    )  # fmt: skip
    return net


def test_shares_rise_by_the_cube_to_the_last():
    found = rising_shots(0.8, 3, shots=4, epochs_between=2, epochs=9)
    assert [shot.sparsity for shot in found] == pytest.approx([0.8 * (1 - f**3) for f in (0.75, 0.5, 0.25, 0.0)])
    assert [shot.bits for shot in found] == [8, 8, 8, 3]
    assert [shot.epochs for shot in found] == [2, 2, 2, 9]
    assert rising_shots(0.8, 3, shots=1, epochs_between=2, epochs=9) == [Shot(0.8, 3, 9)]


def test_masks_shrink_and_the_last_share_is_exact(plain, data):
    seen = []
    small = opq_in_shots(plain, data, rising_shots(0.8, 4, shots=3, epochs_between=1, epochs=1), cap=0.95)
    for count in (1, 2, 3):
        shots = rising_shots(0.8, 4, shots=3, epochs_between=1, epochs=1)[:count]
        seen.append(opq_in_shots(plain, data, shots, cap=0.95).layers())
    for before, after in zip(seen[:-1], seen[1:], strict=True):
        assert all(not (after[name].mask & ~before[name].mask).any() for name in before)
    sizes = sum(codes.mask.size for codes in small.layers().values())
    assert sum(int((~codes.mask).sum()) for codes in small.layers().values()) == round(0.8 * sizes)
    assert all((codes.codes == seen[-1][name].codes).all() for name, codes in small.layers().items())  # it repeats


def test_several_shots_lose_less_than_one(plain, data):
    one, several = (
        accuracy(opq_in_shots(plain, data, shots, cap=0.95, learning_rate=3e-2).module, data.x_test, data.y_test)
        for shots in ([Shot(0.85, 4, 60)], rising_shots(0.85, 4, shots=5, epochs_between=8, epochs=28))
    )
    assert several > one + 0.01


def test_codebooks_come_off_and_values_stay(plain):
    small = opq(plain, sparsity=0.5, bits=4)
    held = masks_only(small)
    assert held.layers() == {}
    assert all((held.masks()[name] == codes.mask).all() for name, codes in small.layers().items())
    for name, codes in small.layers().items():
        assert (held.module.get_submodule(name).weight.detach().numpy() == codes.values().astype(np.float32)).all()
    assert small.layers()  # the original model still has its layers


def test_progress_rises_to_one(plain, data):
    seen = []
    shots = rising_shots(0.5, 4, shots=3, epochs_between=1, epochs=2)
    opq_in_shots(plain, data, shots, progress=lambda label, share: seen.append(share))
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1)


def test_zero_shots_are_refused(plain, data):
    with pytest.raises(ConfigError, match="shots: got 0; allowed: 1 or more"):
        opq_in_shots(plain, data, [])
    with pytest.raises(ConfigError, match="shots: got 0; allowed: 1 or more"):
        rising_shots(0.5, 4, shots=0, epochs_between=1, epochs=1)
