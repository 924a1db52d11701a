"""Fine-tuning with masks and codebooks fixed: only latent weights, biases and the like move (straight-through estimator)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compress.augment import digit_augment
from compress.distill import distillation_loss
from compress.errors import CompressError, ConfigError
from compress.model import CompressedModel
from compress.training import accuracy, fit_

Progress = Callable[[str, float], None]


def label_loss(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
    """Cross-entropy with the labels."""
    return F.cross_entropy(outputs, targets)


def finetune(
    model: CompressedModel,
    data: Any,
    *,
    epochs: int = 8,
    learning_rate: float = 1.5e-3,
    seed: int = 0,
    teacher: nn.Module | None = None,
    augment: bool = False,
    progress: Progress | None = None,
) -> CompressedModel:
    """The model after training on data.x_train; masks, steps and levels are the same bits before and after.

    teacher: an uncompressed network to distil from (see `compress.distill`).
    Raises: CompressError when nothing is compressed; ConfigError; CalibrationError when training diverges.
    """
    if not model.layers():
        raise CompressError(type(model.module).__name__, "nothing is compressed yet; run opq first")
    if epochs < 0:
        raise ConfigError("epochs", epochs, "0 or more")
    module = copy.deepcopy(model.module)
    before = accuracy(module, data.x_test, data.y_test)
    fit_(
        module,
        torch.from_numpy(data.x_train),
        torch.from_numpy(data.y_train),
        loss=label_loss if teacher is None else distillation_loss(module, copy.deepcopy(teacher).eval()),
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        augment=digit_augment if augment else None,
        progress=progress,
    )
    return model.after(
        module,
        method="finetune",
        options={"epochs": epochs, "learning_rate": learning_rate, "augment": augment, "distilled": teacher is not None},
        data=data.name,
        seed=seed,
        images=len(data.x_test),
        accuracy_before=before,
        accuracy_after=accuracy(module, data.x_test, data.y_test),
    )
