"""train: from a fresh network and a data set to trained weights; the committed weights come from here."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compress.augment import DigitAugment
from compress.training import Progress, accuracy, fit_
from zoo.datasets import Dataset
from zoo.networks import Recipe


@dataclass(frozen=True)
class Trained:
    """A trained module, in eval mode, and its accuracy on all test images."""

    module: nn.Module
    accuracy_plain: float
    images: int


def train(
    module: nn.Module, data: Dataset, recipe: Recipe, *, seed: int = 0, progress: Progress | None = None
) -> Trained:
    """Train `module` in place by a recipe; the caller seeds the initial weights (`fresh`).

    Raises: CalibrationError when training diverges.
    """

    def loss(outputs: Tensor, targets: Tensor, _: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, label_smoothing=recipe.label_smoothing)

    fit_(
        module,
        torch.from_numpy(data.x_train),
        torch.from_numpy(data.y_train),
        loss=loss,
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        weight_decay=recipe.weight_decay,
        augment=DigitAugment() if recipe.augment and data.x_train.ndim == 4 else None,
        seed=seed,
        progress=progress,
    )
    return Trained(module, accuracy(module, data.x_test, data.y_test), len(data.x_test))
