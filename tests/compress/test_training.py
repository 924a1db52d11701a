"""The training loop repeats exactly with the same seed, learns, and reports when it cannot."""

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from compress.errors import CalibrationError
from compress.training.loop import WARM_UP, accuracy, fit_, one_cycle, predict
from compress.training.schedule import Schedule

SCHEDULED = {field.name for field in fields(Schedule)}


def squared_error(outputs: Tensor, targets: Tensor, _: Tensor) -> Tensor:
    return (outputs - targets).square().mean()


def fitted(seed: int = 0, **options) -> tuple[nn.Linear, Tensor, Tensor]:
    torch.manual_seed(7)
    module = nn.Linear(3, 1)
    inputs = torch.randn(96, 3)
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.25
    options = {"epochs": 3, "learning_rate": 0.05, "batch_size": 16, "loss": squared_error} | options
    schedule = Schedule(**{name: options.pop(name) for name in SCHEDULED & set(options)})
    fit_(module, inputs, targets, schedule, seed=seed, **options)
    return module, inputs, targets


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again, other = fitted(1)[0], fitted(1)[0], fitted(2)[0]
    assert torch.equal(first.weight, again.weight) and torch.equal(first.bias, again.bias)
    assert not torch.equal(first.weight, other.weight)


def test_a_linear_map_is_found_and_the_module_is_left_in_eval_mode():
    module, _, _ = fitted(epochs=80)
    assert not module.training
    torch.testing.assert_close(module.weight.detach(), torch.tensor([[1.0, -2.0, 0.5]]), atol=1e-2, rtol=0)
    torch.testing.assert_close(module.bias.detach(), torch.tensor([0.25]), atol=1e-2, rtol=0)


def test_frozen_parameters_stay_and_no_epoch_changes_nothing():
    torch.manual_seed(7)
    start = nn.Linear(3, 1).weight.detach().clone()
    assert torch.equal(fitted(epochs=0)[0].weight, start)
    module = nn.Linear(3, 1)
    module.weight.requires_grad_(False)
    before = module.weight.clone()
    fit_(module, torch.randn(8, 3), torch.ones(8, 1), Schedule(epochs=2, learning_rate=0.1), loss=squared_error)
    assert torch.equal(module.weight, before)


def test_every_step_calls_back_every_epoch_reports_and_augmented_inputs_reach_the_loss():
    steps, reports, seen = [], [], []

    def loss(outputs, targets, inputs):
        seen.append(bool((inputs == 0).all()))
        return squared_error(outputs, targets, inputs)

    fitted(
        epochs=2,
        loss=loss,
        augment=lambda images, generator: torch.zeros_like(images),
        after_step=lambda: steps.append(1),
        progress=lambda label, share: reports.append(share),
    )
    assert len(steps) == 2 * 96 // 16 and reports == [0.5, 1.0] and all(seen)


def test_a_loss_that_is_not_finite_names_the_epoch_and_what_to_try():
    calls = []

    def loss(outputs, targets, inputs):
        calls.append(1)
        return squared_error(outputs, targets, inputs) * (float("nan") if len(calls) > 6 else 1)

    with pytest.raises(CalibrationError, match="training diverged in epoch 2; try a smaller learning rate"):
        fitted(loss=loss)


def test_the_learning_rate_rises_in_a_line_and_falls_to_a_thousandth():
    assert one_cycle(0) == pytest.approx(0.04) and one_cycle(WARM_UP) == pytest.approx(1)
    assert one_cycle(WARM_UP / 2) == pytest.approx(0.52) and one_cycle(1) == pytest.approx(0.001)
    assert one_cycle((1 + WARM_UP) / 2) == pytest.approx(0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi / 2)))


def test_predictions_do_not_depend_on_the_batch_and_accuracy_counts_them():
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.9)).train()
    nn.init.eye_(module[0].weight)
    nn.init.zeros_(module[0].bias)
    inputs = np.array([[1, 0], [0, 1], [3, 2], [1, 2]], dtype=np.float32)
    logits = predict(module, inputs, batch_size=3)
    assert logits.dtype == np.float64
    np.testing.assert_array_equal(logits, inputs)
    assert accuracy(module, inputs, np.array([0, 1, 0, 0])) == 0.75
