"""convert: from a trained torch model, compressed or not, to a frozen Network of operations that CKKS can run."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from compress.checks import check_seed
from compress.conversion.calibrate import calibrated, network_outputs
from compress.conversion.exporting import frozen_network
from compress.conversion.friendly import reimported, replace_operations
from compress.conversion.options import Conversion as Conversion
from compress.dataset import Dataset, Progress
from compress.gathering import as_dataset
from compress.graph.importing import import_model
from compress.graph.layers import Imported
from compress.graph.modules import polynomial_activations
from compress.model.compressed import CompressedModel, module_of, source_record
from compress.model.precision import precision
from compress.model.unhooked import unhooked_copy
from compress.network import Network
from compress.robust import describe_outliers
from compress.training.augment import DigitAugment, distortable
from compress.training.distill import distillation_loss
from compress.training.loop import fit_, predict
from compress.training.objective import ASKED_ROWS, Objective, settled
from compress.training.schedule import Schedule
from compress.training.units import outputs_in_units

logger = logging.getLogger(__name__)

DEFAULT = Conversion()

#: How many images the polynomials are fitted and the ranges measured on.
CALIBRATION_IMAGES = 1024

#: Gradients of a polynomial grow with its input; clipping keeps one outlier from deciding a step.
GRADIENT_CLIP = 1.0


def convert(
    model: nn.Module | CompressedModel,
    data: object,
    conversion: Conversion = DEFAULT,
    *,
    teacher: nn.Module | None = None,
    augment: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Network:
    """Replace activations by polynomials and max pooling by average pooling, fold normalization, then distil.

    The network learns from what the given one answers, and from labels where they help (`compress.training.objective`).

    The codebook of a compressed model is kept: its masks and steps do not move, only the latent weights, the biases
    and the polynomials do. `model` is not changed.

    data: what `as_dataset` takes.
    augment: distort the training images at random (for handwriting); rows of features are never distorted. teacher: the
    network to distil from, for example the one before compression; without it the model itself. Training rows that are
    outliers (`compress.robust`) are left out; `about["warnings"]` and a log line name them.

    Raises: UnsupportedLayerError, CalibrationError, InputShapeError; DataError for labels that do not fit the outputs;
    ConfigError for a name in `straight` that is no activation.
    """
    check_seed(seed)
    data = as_dataset(data)
    say = progress or (lambda label, fraction: None)
    module = unhooked_copy(module_of(model))
    augment = augment and distortable(data.x_train)
    warnings = _warnings(data)
    data = data.without_outliers()
    calibration = data.calibration(CALIBRATION_IMAGES, seed)
    imported = import_model(module, tuple(data.x_test.shape[1:]))
    itself, guide = _given(imported, teacher)
    dtype = precision(module)
    asked = predict(guide, data.x_train[:ASKED_ROWS])
    data, objective = settled(data, asked, trust_labels=teacher is None and isinstance(model, CompressedModel))
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
        with outputs_in_units(student, objective) as aim:
            _distil(student, guide, data, aim, conversion, dtype=dtype, augment=distortions, seed=seed, say=say)
    say("freeze", 0.95)
    network = calibrated(frozen_network(reimported(student.eval(), imported)), calibration)
    about = (
        _about(model, imported, replaced)
        | _options(conversion, data.name, augment, seed)
        | _scores(network, itself, guide, data, objective)
        | warnings
    )
    say("convert", 1.0)
    logger.info("converted: %s %.4f -> %.4f", about["score"], about["score_before"], about["score_after"])
    return replace(network, about=about)


def _warnings(data: Dataset) -> dict[str, Any]:
    """What a reader of the result must know about the data; empty for data without outliers."""
    if not data.outliers:
        return {}
    said = f"data '{data.name}': {describe_outliers(data.outliers, len(data.x_train))}"
    logger.warning("%s", said)
    return {"warnings": [said]}


def _given(imported: Imported, teacher: nn.Module | None) -> tuple[nn.Module, nn.Module]:
    """Copies of the given model and of the network to distil from, which may be the same; neither is trained.

    Raises: UnsupportedLayerError, InputShapeError for a teacher that does not take the inputs.
    """
    itself = copy.deepcopy(imported.graph_module).eval().requires_grad_(False)
    if teacher is None:
        return itself, itself
    guide = import_model(unhooked_copy(teacher), imported.input_shape).graph_module
    return itself, guide.eval().requires_grad_(False)


def _scores(
    network: Network, given: nn.Module, guide: nn.Module, data: Dataset, objective: Objective
) -> dict[str, Any]:
    """Task and scores of the given model and of the network on all test images.

    Without labels the scores compare with the answers of `guide`, which the network was distilled from.
    """
    wanted = objective.scoring.wanted(predict(guide, data.x_test)) if data.y_test is None else data.y_test
    before = objective.score(predict(given, data.x_test), wanted)
    after = objective.score(network_outputs(network, data.x_test), wanted)
    found = objective.scores(before, after) | {
        "labels_used": objective.label_share > 0,
        "test_images": len(data.x_test),
    }
    return found | ({"class_names": list(data.class_names)} if data.class_names else {})


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
    objective: Objective,
    conversion: Conversion,
    *,
    dtype: torch.dtype,
    augment: DigitAugment | None,
    seed: int,
    say: Progress,
) -> None:
    inputs = torch.as_tensor(data.x_train, dtype=dtype)
    labels = objective.labels(data, dtype)
    polynomials = list(polynomial_activations(student))

    def guard(*_: Any) -> None:
        for polynomial in polynomials:
            polynomial.guard()

    fit_(
        student,
        inputs,
        labels if augment else objective.targets(_outputs(teacher, inputs), labels),
        Schedule(
            epochs=conversion.epochs,
            learning_rate=conversion.learning_rate,
            batch_size=conversion.batch_size,
            gradient_clip=GRADIENT_CLIP,
        ),
        loss=distillation_loss(student, objective, teacher if augment else None),
        seed=seed,
        augment=augment,
        after_step=guard,
        progress=lambda label, fraction: say("distil", 0.05 + 0.85 * fraction),
    )


def _outputs(module: nn.Module, inputs: Tensor, batch: int = 1000) -> Tensor:
    with torch.no_grad():
        return torch.cat([module(inputs[start : start + batch]) for start in range(0, len(inputs), batch)])


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
