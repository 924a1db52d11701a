"""convert: from a trained torch model, compressed or not, to a frozen Network of operations that CKKS can run."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.checks import check_seed
from compress.conversion.calibrate import calibrated, network_accuracy
from compress.conversion.exporting import frozen_network
from compress.conversion.friendly import reimported, replace_operations
from compress.conversion.options import Conversion as Conversion
from compress.dataset import Dataset, Progress
from compress.errors import InputShapeError
from compress.graph.importing import import_model
from compress.graph.layers import Imported
from compress.graph.modules import polynomial_activations
from compress.model.compressed import CompressedModel, module_of, source_record
from compress.network import Network
from compress.training.augment import DigitAugment, distortable
from compress.training.distill import distillation_loss, distillation_targets
from compress.training.loop import fit_
from compress.training.schedule import Schedule

logger = logging.getLogger(__name__)

DEFAULT = Conversion()

#: How many images the polynomials are fitted and the ranges measured on.
CALIBRATION_IMAGES = 1024

#: Gradients of a polynomial grow with its input; clipping keeps one outlier from deciding a step.
GRADIENT_CLIP = 1.0


def convert(
    model: nn.Module | CompressedModel,
    data: Dataset,
    conversion: Conversion = DEFAULT,
    *,
    teacher: nn.Module | None = None,
    augment: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Network:
    """Replace activations by polynomials and max pooling by average pooling, fold normalization, then distil.

    The codebook of a compressed model is kept: its masks and steps do not move, only the latent weights, the biases
    and the polynomials do. `model` is not changed.

    augment: distort the training images at random (for handwriting); rows of features are never distorted. teacher: the
    network to distil from, for example the one before compression; without it the model itself.

    Raises: UnsupportedLayerError, CalibrationError, InputShapeError; DataError for labels that are larger than the
    outputs allow; ConfigError for a name in `straight` that is no
    activation.
    """
    check_seed(seed)
    say = progress or (lambda label, fraction: None)
    module = copy.deepcopy(module_of(model)).eval()
    augment = augment and distortable(data.x_train)
    calibration = data.calibration(CALIBRATION_IMAGES, seed)
    imported = import_model(module, tuple(data.x_test.shape[1:]))
    itself = copy.deepcopy(imported.graph_module)
    guide = (
        itself if teacher is None else import_model(copy.deepcopy(teacher).eval(), imported.input_shape).graph_module
    )
    guide.eval().requires_grad_(False)
    dtype = next(module.parameters()).dtype
    data.check_outputs(tuple(_outputs(itself.eval(), torch.as_tensor(data.x_test[:2], dtype=dtype)).shape[1:]))
    say("fit polynomials", 0.0)
    student, replaced = replace_operations(
        imported,
        torch.as_tensor(calibration, dtype=dtype),
        degree=conversion.degree,
        per_channel=conversion.per_channel,
        straight=conversion.straight,
    )
    if conversion.epochs and trainable(student):
        distortions = DigitAugment(conversion.distortion) if augment else None
        _distil(student, guide, data, conversion, dtype=dtype, augment=distortions, seed=seed, say=say)
    say("freeze", 0.95)
    network = calibrated(frozen_network(reimported(student.eval(), imported)), calibration)
    about = (
        _about(model, imported, replaced)
        | _options(conversion, data.name, augment, seed)
        | {
            "test_images": len(data.x_test),
            "accuracy_before": _module_accuracy(itself.eval(), data.x_test, data.y_test, dtype),
            "accuracy_after": network_accuracy(network, data.x_test, data.y_test),
        }
    )
    say("convert", 1.0)
    logger.info("converted: accuracy %.4f -> %.4f", about["accuracy_before"], about["accuracy_after"])
    return replace(network, about=about)


def _options(conversion: Conversion, data_name: str, augment: bool, seed: int) -> dict[str, Any]:
    """How the conversion went, in plain JSON values."""
    return {
        "data": data_name,
        "seed": seed,
        "degree": conversion.degree,
        "straight": list(conversion.straight),
        "epochs": conversion.epochs,
        "learning_rate": conversion.learning_rate,
        "batch_size": conversion.batch_size,
        "augment": augment,
        "distortion": conversion.distortion,
    }


def trainable(module: nn.Module) -> bool:
    """Whether there is anything for distillation to move."""
    return any(parameter.requires_grad for parameter in module.parameters())


def _distil(
    student: nn.Module,
    teacher: nn.Module,
    data: Dataset,
    conversion: Conversion,
    *,
    dtype: torch.dtype,
    augment: DigitAugment | None,
    seed: int,
    say: Progress,
) -> None:
    inputs = torch.as_tensor(data.x_train, dtype=dtype)
    labels = torch.as_tensor(data.y_train, dtype=torch.long)
    logits = _outputs(teacher, inputs[:2] if augment else inputs)
    if logits.ndim != 2:
        raise InputShapeError(
            f"output: shape {tuple(logits.shape[1:])}; conversion trains classifiers, whose output is one row of scores"
        )
    polynomials = list(polynomial_activations(student))

    def guard(*_: Any) -> None:
        for polynomial in polynomials:
            polynomial.guard()

    fit_(
        student,
        inputs,
        labels if augment else distillation_targets(logits, labels),
        Schedule(
            epochs=conversion.epochs,
            learning_rate=conversion.learning_rate,
            batch_size=conversion.batch_size,
            gradient_clip=GRADIENT_CLIP,
        ),
        loss=distillation_loss(student, teacher),
        seed=seed,
        augment=augment,
        after_step=guard,
        progress=lambda label, fraction: say("distil", 0.05 + 0.85 * fraction),
    )


def _outputs(module: nn.Module, inputs: Tensor, batch: int = 1000) -> Tensor:
    with torch.no_grad():
        return torch.cat([module(inputs[start : start + batch]) for start in range(0, len(inputs), batch)])


def _module_accuracy(
    module: nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64], dtype: torch.dtype
) -> float:
    scores = _outputs(module, torch.as_tensor(images, dtype=dtype))
    return float((scores.argmax(dim=1).numpy() == labels).mean())


def _about(model: nn.Module | CompressedModel, imported: Imported, replaced: list[str]) -> dict[str, Any]:
    """Where the model came from and what was replaced or dropped, in plain JSON values."""
    about: dict[str, Any] = {"replaced": replaced}
    if imported.dropped:
        about["dropped"] = list(imported.dropped)
    if isinstance(model, CompressedModel):
        about["source"] = dict(model.source)
        about["history"] = [dict(step) for step in model.history]
    else:
        about["source"] = source_record(model)
        about["history"] = []
    return about
