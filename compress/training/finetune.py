"""Fine-tuning with fixed masks and codebooks: only latent weights, biases and other parameters move.

Gradients pass the codebook by the straight-through estimator; see `compress.model.quantizer`.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compress.checks import check_seed
from compress.dataset import Dataset, Progress
from compress.errors import CompressError, DataError, InputShapeError
from compress.gathering import as_dataset
from compress.graph.joined import joined
from compress.model.compressed import CompressedModel, prunable_layers
from compress.model.precision import full_precision_, in_precision, precision
from compress.model.quantizer import latent_weight
from compress.model.unhooked import unhooked_copy
from compress.scores import Scoring
from compress.training.augment import DigitAugment, distortable
from compress.training.distill import distillation_loss
from compress.training.loop import fit_, predict
from compress.training.objective import ASKED_ROWS, settled
from compress.training.schedule import Schedule


def finetune(
    model: CompressedModel,
    data: object,
    *,
    epochs: int = 8,
    learning_rate: float = 8e-3,
    seed: int = 0,
    teacher: nn.Module | None = None,
    augment: bool = False,
    shrinkage: float = 0.0,
    progress: Progress | None = None,
) -> CompressedModel:
    """The model trained on the training images; masks, steps and levels do not change by a single bit.

    data: what `as_dataset` takes.
    teacher: an uncompressed network to distil from (see `compress.training.distill`). augment: distort training images
    at random; rows of features are never distorted, and the history says so. shrinkage: strength of an L1 penalty on
    the weights of compressed layers, which empties codes that do little (see `compress.training.loop.fit_`). Frozen
    parameters (requires_grad=False) do not move, nor do the statistics of frozen normalizations.
    Raises: CompressError when nothing is compressed or everything frozen; ConfigError; InputShapeError when data and
    network (or teacher) do not fit; DataError for labels that do not fit the outputs, and for none without a teacher;
    CalibrationError when training diverges.
    """
    check_seed(seed)
    schedule = Schedule(epochs=epochs, learning_rate=learning_rate, shrinkage=shrinkage)
    model, data = joined(model, as_dataset(data))
    teacher = None if teacher is None else joined(teacher, data)[0]
    _check_trainable(model)
    _check_shapes(model.module, teacher, data)
    data = data.without_outliers()
    augment = augment and distortable(data.x_train)
    module = full_precision_(copy.deepcopy(model.module))
    guide = None if teacher is None else unhooked_copy(teacher).to(precision(module))
    data, objective = settled(data, predict(guide or module, data.x_train[:ASKED_ROWS]), trust_labels=guide is None)
    wanted = _wanted(data, guide, objective.scoring)
    before = objective.score(predict(module, data.x_test), wanted)
    fit_(
        module,
        in_precision(torch.from_numpy(data.x_train), module),
        objective.labels(data, precision(module)),
        schedule,
        loss=objective.label_loss if guide is None else distillation_loss(module, objective, guide),
        seed=seed,
        augment=DigitAugment() if augment else None,
        shrunk=_shrunk(module),
        progress=progress,
    )
    return model.after(
        module,
        input_shape=data.x_train.shape[1:],
        method="finetune",
        options={
            "epochs": epochs, "learning_rate": learning_rate, "augment": augment, "distilled": teacher is not None,
            "shrinkage": shrinkage,
        },
        data=data.name,
        seed=seed,
        images=len(data.x_test),
        **objective.scores(before, objective.score(predict(module, data.x_test), wanted)),
    )  # fmt: skip


def _wanted(data: Dataset, guide: nn.Module | None, scoring: Scoring) -> NDArray[Any]:
    """What the outputs on the test rows are scored against: the labels, or without any what the teacher answers.

    Raises: DataError for data without labels where there is no teacher either.
    """
    if data.y_test is not None:
        return data.y_test
    if guide is None:
        raise DataError(
            f"data '{data.name}': it has no labels that fit the network's outputs, and there is no teacher to learn "
            "from; give teacher=, the network before compression"
        )
    return scoring.wanted(predict(guide, data.x_test))


def _check_trainable(model: CompressedModel) -> None:
    """Raises: CompressError when nothing is compressed, or when every parameter is frozen."""
    name = type(model.module).__name__
    if not model.layers() and not model.masks():
        raise CompressError(None, f"model {name}: nothing in it is compressed yet; run opq first")
    if not any(parameter.requires_grad for parameter in model.module.parameters()):
        raise CompressError(name, "every parameter is frozen (requires_grad=False), so nothing can move; unfreeze some")


def _shrunk(module: nn.Module) -> list[Tensor]:
    """The latent weights of layers that are compressed and not frozen; a shared weight is listed once."""
    found = {
        id(latent): latent
        for _, layer in prunable_layers(module)
        if parametrize.is_parametrized(layer, "weight") and (latent := latent_weight(layer)).requires_grad
    }
    return list(found.values())


def _check_shapes(module: nn.Module, teacher: nn.Module | None, data: Dataset) -> None:
    """Raises: InputShapeError for a network that does not take the rows, and for two that differ in their outputs."""
    shapes = []
    for name, network in (("the compressed network", module), ("the teacher", teacher)):
        if network is not None:
            try:
                shapes.append(predict(network, data.x_train[:2]).shape)
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                raise InputShapeError(
                    f"data {data.name}: {name} does not take images of shape {data.x_train.shape[1:]} ({reason}); "
                    "choose other data"
                ) from error
    if len(set(shapes)) > 1:
        raise InputShapeError(
            f"teacher: its outputs are {shapes[1][1:]}, the compressed network's {shapes[0][1:]}; give the original"
        )
