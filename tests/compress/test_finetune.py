"""Fine-tuning changes only weights, helps, repeats exactly, and refuses what it cannot train."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from compress.dataset import Dataset
from compress.errors import CalibrationError, CompressError, ConfigError, DataError, InputShapeError
from compress.model.compressed import CompressedModel
from compress.model.quantizer import quantizer_of
from compress.opq.opq import opq
from compress.training.finetune import finetune
from compress.training.loop import accuracy, fit_, shrink_
from compress.training.schedule import Schedule


@pytest.fixture(scope="module")
def data():
    """Five classes from a random linear map followed by a kink."""
    random = np.random.default_rng(0)
    x = random.random((2500, 16), dtype=np.float32)
    y = np.abs((x - 0.5) @ random.normal(size=(16, 5))).argmax(axis=1)
    return Dataset("toy", x[:2000], y[:2000], x[2000:], y[2000:])


@pytest.fixture(scope="module")
def plain(data):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 5))
    fit_(
        net,
        torch.from_numpy(data.x_train),
        torch.from_numpy(data.y_train),
        Schedule(epochs=25, learning_rate=1e-2, batch_size=64),
        loss=lambda outputs, targets, inputs: nn.functional.cross_entropy(outputs, targets),
    )
    return net


@pytest.fixture(scope="module")
def small(plain):
    return opq(plain, sparsity=0.7, bits=4)


def test_masks_steps_and_levels_stay_and_weights_move(small, data):
    tuned = finetune(small, data, epochs=2)
    for name, before in small.layers().items():
        after = tuned.layers()[name]
        assert (
            (after.mask == before.mask).all()
            and (after.log2_step == before.log2_step).all()
            and after.levels == before.levels
        )
        assert (after.codes[~before.mask] == 0).all()
        assert (after.codes != before.codes).any()
        assert np.abs(after.codes).max() <= after.levels
    assert quantizer_of(tuned.module[0]) is not quantizer_of(small.module[0])


def test_it_recovers_most_of_what_pruning_cost(small, plain, data):
    tuned = finetune(small, data, epochs=20, learning_rate=5e-3)
    lost, left = (
        accuracy(plain, data.x_test, data.y_test) - accuracy(m.module, data.x_test, data.y_test) for m in (small, tuned)
    )
    assert lost > 0.1
    assert left < 0.7 * lost


def test_history_has_accuracy_before_and_after_and_the_number_of_images(small, data):
    tuned = finetune(small, data, epochs=1, seed=3)
    assert [step["method"] for step in tuned.history] == ["opq", "finetune"]
    step = tuned.history[-1]
    assert step["accuracy_before"] == accuracy(small.module, data.x_test, data.y_test)
    assert step["accuracy_after"] == accuracy(tuned.module, data.x_test, data.y_test)
    assert (step["images"], step["data"], step["seed"]) == (500, "toy", 3)
    assert tuned.input_shape == (16,)


def test_the_same_seed_gives_the_same_codes_and_the_start_is_untouched(small, data):
    before = small.layers()["0"].codes.copy()
    first, second = (finetune(small, data, epochs=1, seed=5) for _ in range(2))
    assert (first.layers()["0"].codes == second.layers()["0"].codes).all()
    assert (small.layers()["0"].codes == before).all()


def test_a_teacher_is_imitated_and_left_alone(small, plain, data):
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    tuned = finetune(small, data, epochs=4, teacher=plain, learning_rate=1e-2)
    assert tuned.history[-1]["options"]["distilled"] is True
    assert all(torch.equal(value, before[key]) for key, value in plain.state_dict().items())
    untaught = finetune(small, data, epochs=4, learning_rate=1e-2)
    assert (tuned.layers()["0"].codes != untaught.layers()["0"].codes).any()


def test_progress_ends_at_one(small, data):
    seen = []
    finetune(small, data, epochs=2, progress=lambda label, fraction: seen.append(fraction))
    assert seen[-1] == 1.0 and seen == sorted(seen)


def test_a_model_without_compressed_layers_is_refused(plain, data):
    with pytest.raises(CompressError, match="model Sequential: nothing in it is compressed yet; run opq first"):
        finetune(CompressedModel(module=plain), data)


def test_negative_epochs_are_refused(small, data):
    with pytest.raises(ConfigError, match="epochs: got -1; allowed: a whole number, 0 or more"):
        finetune(small, data, epochs=-1)


def test_data_of_another_shape_is_refused(small):
    other = Dataset("wide", *(np.zeros((4, 9), np.float32), np.zeros(4, np.int64)) * 2)
    with pytest.raises(
        InputShapeError, match=r"data wide: the compressed network does not take images of shape \(9,\)"
    ):
        finetune(small, other)


def test_labels_without_an_output_are_refused_before_training(small, data):
    wrong = replace(data, y_test=np.full(len(data.y_test), 12))
    with pytest.raises(DataError, match=r"data 'toy': the largest label is 12, .* labels 0 to 4 only \(outputs: 5\)"):
        finetune(small, wrong)
    with pytest.raises(DataError, match=r"the largest label is 12, .* take a network with at least 13 outputs"):
        accuracy(small.module, wrong.x_test, wrong.y_test)


def test_a_teacher_with_other_classes_is_refused(small, data):
    with pytest.raises(
        InputShapeError, match=r"teacher: its outputs are \(3,\), the compressed network's \(5,\); give the original"
    ):
        finetune(small, data, teacher=nn.Linear(16, 3))


def test_divergence_is_named(small, data):
    with pytest.raises(CalibrationError, match=r"training diverged in epoch \d; try a smaller learning rate"):
        finetune(small, data, epochs=5, learning_rate=1e38)
    huge = Dataset("huge", data.x_train * np.float32(3e38), data.y_train, data.x_test, data.y_test)
    with pytest.raises(CalibrationError, match="data 'huge': the network's answers are not finite; check its weights"):
        finetune(small, huge, epochs=1)


def test_shrinkage_empties_codes(small, data):
    kept, shrunk = (finetune(small, data, epochs=3, shrinkage=strength) for strength in (0.0, 5.0))
    zeros = [sum(int((codes.codes == 0).sum()) for codes in model.layers().values()) for model in (kept, shrunk)]
    assert zeros[1] > zeros[0] + 20
    assert shrunk.history[-1]["options"]["shrinkage"] == 5.0
    with pytest.raises(ConfigError, match="shrinkage: got -0.1; allowed: a number at least 0"):
        finetune(small, data, epochs=1, shrinkage=-0.1)


def test_shrinking_stops_at_zero():
    values = torch.tensor([0.5, -0.5, 0.05, -0.05, 0.0])
    shrink_([values], 0.1)
    torch.testing.assert_close(values, torch.tensor([0.4, -0.4, 0.0, 0.0, 0.0]))
