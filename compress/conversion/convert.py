"""Conversion: a trained torch model (compressed or not) in, a frozen CKKS-friendly Network out; torch ends here."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.conversion.calibrate import calibrated, network_accuracy
from compress.conversion.exporting import frozen_network
from compress.conversion.friendly import reimported, replace_operations
from compress.errors import ConfigError, InputShapeError
from compress.graph.importing import Imported, import_model
from compress.graph.modules import polynomial_activations
from compress.graph.polynomial import DEGREES
from compress.model.compressed import CompressedModel, module_of, source_record
from compress.network import Network
from compress.training.augment import DigitAugment, distortable
from compress.training.distill import distillation_loss, distillation_targets
from compress.training.loop import fit_

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]

logger = logging.getLogger(__name__)

#: Images that fit the polynomials and set the ranges.
CALIBRATION_IMAGES = 1024

#: Beyond twice fine-tuning's distortions digits leave the image.
LARGEST_DISTORTION = 2.0

#: The gradient of a polynomial grows with its input: one outlier may not decide a step.
GRADIENT_CLIP = 1.0


def convert(
    model: nn.Module | CompressedModel,
    data: Any,
    *,
    degree: int = 2,
    epochs: int = 8,
    learning_rate: float = 2e-2,
    seed: int = 0,
    batch_size: int = 256,
    augment: bool = False,
    distortion: float = 1.0,
    per_channel: bool = False,
    straight: Collection[str] = (),
    teacher: nn.Module | None = None,
    progress: Progress | None = None,
) -> Network:
    """Polynomial non-linearities, average pooling, folded normalization; then distilled from the model itself.

    The codebook of a compressed model is kept: its masks and steps do not move, only the latent weights, the biases
    and the polynomials do. `model` is not changed.

    data: x_train, y_train, x_test, y_test and calibration(count, seed), as `cipherpress.zoo.datasets` makes them. epochs: passes
    over x_train; 0 leaves the fitted polynomials as they are. augment: small random distortions of the training images
    (for handwriting; rows of features stay as they are), `distortion` times as strong as those that fine-tuning makes. straight:
    activations, by name, that become straight lines instead (a level less each, and the layers around them merge when compiled).
    teacher: the network to distil from when it is not the model itself (the one before compression).

    Raises: UnsupportedLayerError, CalibrationError, InputShapeError, ConfigError.
    """
    if degree not in DEGREES:
        raise ConfigError("degree", degree, f"one of {', '.join(map(str, DEGREES))}")
    if epochs < 0:
        raise ConfigError("epochs", epochs, "0 or more")
    if batch_size < 1:
        raise ConfigError("batch_size", batch_size, "1 or more")
    if not 0 <= distortion <= LARGEST_DISTORTION:
        raise ConfigError("distortion", distortion, f"a factor from 0 to {LARGEST_DISTORTION:g}")
    say = progress or (lambda label, fraction: None)
    module = copy.deepcopy(module_of(model)).eval()
    augment = augment and distortable(data.x_train)
    x_test, y_test = np.asarray(data.x_test), np.asarray(data.y_test)
    calibration = np.asarray(data.calibration(CALIBRATION_IMAGES, seed))
    imported = import_model(module, tuple(x_test.shape[1:]))
    itself = copy.deepcopy(imported.graph_module)
    guide = (
        itself if teacher is None else import_model(copy.deepcopy(teacher).eval(), imported.input_shape).graph_module
    )
    guide.eval().requires_grad_(False)
    say("fit polynomials", 0.0)
    dtype = next(module.parameters()).dtype
    student, replaced = replace_operations(
        imported, torch.as_tensor(calibration, dtype=dtype), degree=degree, per_channel=per_channel, straight=straight
    )
    if epochs and trainable(student):
        _distil(
            student, guide, data, dtype, epochs, learning_rate, batch_size, seed,
            DigitAugment(distortion) if augment else None, say,
        )  # fmt: skip
    say("freeze", 0.95)
    network = calibrated(frozen_network(reimported(student.eval(), imported)), calibration)
    about = _about(model, imported, replaced) | {
        "data": str(getattr(data, "name", "unnamed")),
        "seed": seed,
        "degree": degree,
        "straight": list(straight),
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "augment": augment,
        "distortion": distortion,
        "test_images": len(x_test),
        "accuracy_before": _module_accuracy(itself.eval(), x_test, y_test, dtype),
        "accuracy_after": network_accuracy(network, x_test, y_test),
    }
    say("convert", 1.0)
    logger.info("converted: accuracy %.4f -> %.4f", about["accuracy_before"], about["accuracy_after"])
    return replace(network, about=about)


def trainable(module: nn.Module) -> bool:
    """Whether there is anything for distillation to move."""
    return any(parameter.requires_grad for parameter in module.parameters())


def _distil(
    student: nn.Module, teacher: nn.Module, data: Any, dtype: torch.dtype,
    epochs: int, learning_rate: float, batch_size: int, seed: int, augment: DigitAugment | None, say: Progress,
) -> None:  # fmt: skip
    inputs = torch.as_tensor(np.asarray(data.x_train), dtype=dtype)
    labels = torch.as_tensor(np.asarray(data.y_train), dtype=torch.long)
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
        loss=distillation_loss(student, teacher),
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        seed=seed,
        augment=augment,
        gradient_clip=GRADIENT_CLIP,
        after_step=guard,
        progress=lambda label, fraction: say("distil", 0.05 + 0.85 * fraction),
    )


def _outputs(module: nn.Module, inputs: Tensor, batch: int = 1000) -> Tensor:
    with torch.no_grad():
        return torch.cat([module(inputs[start : start + batch]) for start in range(0, len(inputs), batch)])


def _module_accuracy(module: nn.Module, images: Array, labels: Array, dtype: torch.dtype) -> float:
    scores = _outputs(module, torch.as_tensor(images, dtype=dtype))
    return float((scores.argmax(dim=1).numpy() == labels).mean())


def _about(model: nn.Module | CompressedModel, imported: Imported, replaced: list[str]) -> dict[str, Any]:
    """What was given and what was done to it, in plain JSON values."""
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
