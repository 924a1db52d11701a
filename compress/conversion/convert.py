"""convert: from a trained torch model, compressed or not, to a frozen Network of operations that CKKS can run."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray
from torch import nn

from compress.checks import check_seed
from compress.conversion.calibrate import calibrated
from compress.conversion.collapse import check_score, checked_outputs, score_warnings
from compress.conversion.degrees import with_degrees
from compress.conversion.exporting import frozen_network
from compress.conversion.friendly import reimported
from compress.conversion.options import DEFAULT_DEGREE
from compress.conversion.options import Conversion as Conversion
from compress.conversion.recipes import RECIPES, Lesson, recipe_names, rounded_further, used
from compress.dataset import Dataset, Progress
from compress.errors import CalibrationError, CollapseError
from compress.gathering import as_dataset
from compress.graph.importing import import_model
from compress.graph.joined import joined, parts_record
from compress.graph.layers import Imported
from compress.model.compressed import CompressedModel, module_of, source_record
from compress.model.precision import precision
from compress.model.unhooked import unhooked_copy
from compress.network import Network
from compress.recorded import log_recorded
from compress.robust import describe_outliers
from compress.training.augment import augmentation, distortable
from compress.training.loop import predict
from compress.training.objective import ASKED_ROWS, Objective, settled

logger = logging.getLogger(__name__)

DEFAULT = Conversion()

#: How many images the polynomials are fitted and the ranges measured on.
CALIBRATION_IMAGES = 1024

#: How many training rows are looked at for values that explode, beside all test rows.
CHECKED_ROWS = 2000


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

    Networks with few activations in a row are distilled plainly, deeper ones and those for which that fails by
    `compress.conversion.stable`; `about["recipe"]` says which.

    Raises: UnsupportedLayerError, CalibrationError, InputShapeError; CollapseError when the result has lost what the
    model knew, or its values explode; DataError for labels that do not fit the outputs; ConfigError for a name in
    `straight` that is no activation.
    """
    check_seed(seed)
    model, data = joined(model, as_dataset(data))
    say = progress or (lambda label, fraction: None)
    module = unhooked_copy(module_of(model))
    augment = augment and distortable(data.x_train)
    warnings = _warnings(data)
    data = data.without_outliers()
    calibration = data.calibration(CALIBRATION_IMAGES, seed)
    compressed = isinstance(model, CompressedModel)
    subject = _subject(module, teacher, data, trust_labels=teacher is None and compressed)
    data, objective, guide = subject.data, subject.objective, subject.guide
    lesson = Lesson(
        data=data,
        objective=objective,
        guide=guide,
        calibration=calibration,
        conversion=conversion,
        dtype=precision(module),
        augment=augmentation(conversion.images, conversion.distortion) if augment else None,
        seed=seed,
        exact=teacher is None and not compressed,
        progress=lambda label, fraction: say("distil", 0.05 + 0.85 * fraction),
    )
    say("fit polynomials", 0.0)
    made = _first_sound(subject, module_of(model), lesson, say)
    about = _about(model, subject) | _options(conversion, data.name, augment, seed) | dict(made.about)
    warnings = [*warnings, *about.pop("warnings", ())]
    about |= {"warnings": warnings} if warnings else {}
    say("convert", 1.0)
    logger.info("converted: %s %.4f -> %.4f", about["score"], about["score_before"], about["score_after"])
    return replace(made, about=about)


def _warnings(data: Dataset) -> list[str]:
    """What a reader of the result must know about the data; empty for data without outliers."""
    if not data.outliers:
        return []
    said = f"data '{data.name}': {describe_outliers(data.outliers, len(data.x_train))}"
    log_recorded(logger, [said])
    return [said]


@dataclass(frozen=True, eq=False)
class _Subject:
    """What is converted. itself, guide: copies of the given model and of the network to distil from, which may be the
    same; neither is trained. data, objective: as `settled` has them. logits: whether a last sigmoid is left out.
    """

    imported: Imported
    itself: nn.Module
    guide: nn.Module
    data: Dataset
    objective: Objective
    logits: bool


def _subject(
    module: nn.Module, teacher: nn.Module | None, data: Dataset, *, trust_labels: bool, logits: bool = False
) -> _Subject:
    """A model that ends in a sigmoid, and whose answers are classes, is read again without it.

    Raises: UnsupportedLayerError, InputShapeError for a teacher that does not take the inputs.
    """
    imported = import_model(module, data.input_shape, logits=logits)
    itself = copy.deepcopy(imported.graph_module).eval().requires_grad_(False)
    guide, same_end = itself, True
    if teacher is not None:
        read = import_model(unhooked_copy(joined(teacher, data)[0]), data.input_shape, logits=logits)
        guide, same_end = read.graph_module.eval().requires_grad_(False), read.ends_in_sigmoid
    fitted, objective = settled(data, predict(guide, data.x_train[:ASKED_ROWS]), trust_labels=trust_labels)
    if imported.ends_in_sigmoid and same_end and objective.scoring.names_classes and not logits:
        return _subject(module, teacher, data, trust_labels=trust_labels, logits=True)
    if logits:  # small logits look like probabilities
        objective = replace(objective, scoring=replace(objective.scoring, threshold=0.0))
    return _Subject(imported, itself, guide, fitted, objective, logits)


def _first_sound(subject: _Subject, model: nn.Module, lesson: Lesson, say: Progress) -> Network:
    """The network by the first recipe whose result has not collapsed; about: what was replaced, recipe and scores.

    Raises: CalibrationError, CollapseError of the last recipe.
    """
    given = predict(subject.itself, lesson.data.x_test)

    def fresh() -> Imported:  # the modules of one are trained
        return import_model(unhooked_copy(model), subject.imported.input_shape, logits=subject.logits)

    imported, lessons = subject.imported, with_degrees(lesson, fresh)
    attempts = [(recipe, one) for one in lessons for recipe in recipe_names(imported, one.conversion)]
    for (recipe, one), (following, _) in pairwise(attempts):
        try:
            return _made(recipe, imported, one, given, say)
        except (CalibrationError, CollapseError) as error:
            logger.warning("%s training failed (%s); %s training follows", recipe, error, following)
            imported = fresh()
    recipe, one = attempts[-1]
    return _made(recipe, imported, one, given, say)


def _made(recipe: str, imported: Imported, lesson: Lesson, given: NDArray[Any], say: Progress) -> Network:
    """Raises: CalibrationError, CollapseError."""
    student, replaced = RECIPES[recipe](imported, lesson)
    say("freeze", 0.95)
    frozen = frozen_network(reimported(student.eval(), imported))
    if lesson.conversion.fraction_bits is not None:
        frozen = rounded_further(frozen, lesson, recipe)
    network = calibrated(frozen, lesson.calibration)
    about = {"replaced": replaced, "recipe": recipe, **used(recipe, lesson)} | _checked_scores(network, given, lesson)
    return replace(network, about=about)


def _checked_scores(network: Network, given: NDArray[Any], lesson: Lesson) -> dict[str, Any]:
    """Task and scores of the given model and of the network on all test images. given: the model's outputs on them.

    Without labels the scores compare with the answers of the guide, which the network was distilled from.
    Raises: CollapseError when the network has lost what it knew, or its values explode.
    """
    data, objective, guide = lesson.data, lesson.objective, lesson.guide
    scoring = objective.scoring
    wanted = scoring.wanted(predict(guide, data.x_test)) if data.y_test is None else data.y_test
    checked_outputs(network, data.x_train[:CHECKED_ROWS], "training")
    outputs = checked_outputs(network, data.x_test, "test")
    check_score(scoring, given, outputs, wanted)
    warnings = score_warnings(scoring, given, outputs, wanted, lesson.conversion.degree or DEFAULT_DEGREE)
    log_recorded(logger, warnings)
    found = objective.scores(objective.score(given, wanted), objective.score(outputs, wanted)) | {
        "labels_used": objective.label_share > 0,
        "test_images": len(data.x_test),
    }
    found |= {"warnings": warnings} if warnings else {}
    return found | ({"class_names": list(data.class_names)} if data.class_names else {})


def _options(conversion: Conversion, data_name: str, augment: bool, seed: int) -> dict[str, Any]:
    """How the conversion went, in plain JSON values."""
    return {
        "data": data_name,
        "seed": seed,
        "straight": list(conversion.straight),
        "learning_rate": conversion.learning_rate,
        "augment": augment,
        "distortion": conversion.distortion,
        "images": conversion.images,
        **({} if conversion.fraction_bits is None else {"fraction_bits": conversion.fraction_bits}),
    }


def _about(model: nn.Module | CompressedModel, subject: _Subject) -> dict[str, Any]:
    """Where the model came from and what was dropped, in plain JSON values.

    threshold_before: what outputs of a binary model are compared with, where its sigmoid was dropped.
    """
    about: dict[str, Any] = parts_record(module_of(model))
    if subject.imported.dropped:
        about["dropped"] = list(subject.imported.dropped)
    if subject.logits and subject.objective.task == "binary":
        about["threshold_before"] = 0.5
    if isinstance(model, CompressedModel):
        about["source"] = dict(model.source)
        about["history"] = [dict(step) for step in model.history]
    else:
        about["source"] = source_record(model)
        about["history"] = []
    return about
