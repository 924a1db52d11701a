"""train: from a fresh network and a data set to trained weights. The committed weights were made by it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from cipherpress.zoo.loading import fresh_model
from cipherpress.zoo.networks import TWINS, ZOO, Recipe
from compress.artifact import json_bytes, write_folder
from compress.checks import check_seed
from compress.dataset import Dataset, Progress
from compress.errors import DataError
from compress.gathering import as_dataset
from compress.graph.joined import joined
from compress.scores import Scoring
from compress.training.augment import augmentation
from compress.training.device import placed
from compress.training.loop import fit_, predict
from compress.training.objective import settled_for
from compress.training.schedule import Schedule

DEFAULT_EPOCHS = 10


@dataclass(frozen=True)
class Trained:
    """A trained module, in eval mode, and its score on all test images."""

    module: nn.Module
    score_plain: float
    images: int
    scoring: Scoring = Scoring("classes")


def train(
    module: nn.Module, data: object, recipe: Recipe, *, seed: int = 0, progress: Progress | None = None
) -> Trained:
    """Train `module` in place by a recipe, on a GPU where torch sees one; the caller seeds the initial weights.

    data: what `as_dataset` takes, with labels.

    Raises: CalibrationError when training diverges; DataError for labels that do not fit the outputs.
    """
    check_seed(seed)
    own, data = joined(module, as_dataset(data))
    data, objective = settled_for(own, data, trust_labels=True)
    if data.y_train is None or data.y_test is None:
        raise DataError(f"data '{data.name}': training needs labels that fit the network's outputs; give labels")

    def loss(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        if objective.task != "classes":
            return objective.label_loss(outputs, targets, inputs)
        return F.cross_entropy(outputs, targets[:, 0].long(), label_smoothing=recipe.label_smoothing)

    schedule = Schedule(
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        weight_decay=recipe.weight_decay,
    )
    with placed(own) as device:
        fit_(
            own,
            torch.from_numpy(data.x_train).to(device),
            objective.labels(data, torch.float32).to(device),
            schedule,
            loss=loss,
            augment=augmentation(recipe.images) if recipe.augment and data.x_train.ndim == 4 else None,
            seed=seed,
            progress=progress,
        )
    reached = objective.score(predict(own, data.x_test), data.y_test)
    return Trained(module, reached, len(data.x_test), objective.scoring)


@dataclass(frozen=True)
class Run:
    """A finished training run, with everything needed to repeat it."""

    trained: Trained
    spec: str
    command: str
    data: str
    seed: int
    recipe: Recipe


def train_spec(
    spec: str,
    data: Dataset,
    *,
    seed: int = 0,
    epochs: int | None = None,
    learning_rate: float | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train a zoo name or file.py:factory from fresh weights; options replace parts of its recipe.

    Raises: ModelError, CalibrationError.
    """
    check_seed(seed)
    torch.manual_seed(seed)  # the factory draws its initial weights from the global generator
    entry = ZOO.get(spec) or TWINS.get(spec)
    if entry is not None:
        module, recipe = entry.factory(), entry.recipe
    else:
        module, recipe = fresh_model(spec), Recipe(epochs=DEFAULT_EPOCHS)
    changed = {"epochs": epochs, "learning_rate": learning_rate}
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    if learning_rate is not None:
        recipe = replace(recipe, learning_rate=learning_rate)
    command = f"cipherpress train {spec} --data {data.name} --seed {seed}"
    command += "".join(f" --{name.replace('_', '-')} {value}" for name, value in changed.items() if value is not None)
    return Run(train(module, data, recipe, seed=seed, progress=progress), spec, command, data.name, seed, recipe)


def save_trained(run: Run, folder: Path, *, force: bool = False) -> dict[str, Any]:
    """Write model.safetensors (a state dict for --weights) and model.json (how it was made); returns the latter.

    Raises: OverwriteError.
    """
    content = save({name: value.contiguous() for name, value in run.trained.module.state_dict().items()})
    record = {
        "kind": "weights",
        "version": 1,
        "model": run.spec,
        **run.trained.scoring.as_json(),
        "score_plain": run.trained.score_plain,
        **({"accuracy_plain": run.trained.score_plain} if run.trained.scoring.names_classes else {}),
        "images": run.trained.images,
        "data": run.data,
        "seed": run.seed,
        "recipe": asdict(run.recipe),
        "command": run.command,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_folder(folder, {"model.safetensors": content, "model.json": json_bytes(record)}, force=force)
    return record
