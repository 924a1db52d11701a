"""How a network of polynomials learns from the given one: plain distillation, or stable training for deep networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from compress.conversion.friendly import fitted_activation, replace_operations
from compress.conversion.options import DEFAULT_DEGREE, Conversion
from compress.conversion.stable import (
    LEAST_STEPS,
    PLAIN_DEPTH,
    RATES,
    depth,
    distil_stably,
    normalized_activation,
    softened,
    stable_passes,
)
from compress.dataset import Dataset, Progress
from compress.graph.layers import Imported, Layer
from compress.graph.modules import NormalizedActivation, polynomial_activations
from compress.network import Network
from compress.squares.training import on_grid
from compress.training.device import placed
from compress.training.distill import distillation_loss
from compress.training.loop import Augment, Loss, fit_
from compress.training.objective import Objective
from compress.training.schedule import Schedule
from compress.training.units import outputs_in_units

#: Gradients of a polynomial grow with its input; clipping keeps one outlier from deciding a step.
GRADIENT_CLIP = 1.0

#: Length of the training with rounded weights, relative to that before.
ROUNDED_SHARE = 0.25

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What the student learns from and how.

    data, objective: see `compress.training.objective`. guide: the network to distil from, in evaluation mode.
    calibration: rows (count, *input_shape) that polynomials are fitted on. dtype: of the student's weights. augment:
    distortions of training rows. exact: the guide is what is converted, so that there is nothing to learn where nothing
    was replaced.
    """

    data: Dataset
    objective: Objective
    guide: nn.Module
    calibration: NDArray[Any]
    conversion: Conversion
    dtype: torch.dtype
    augment: Augment | None
    seed: int
    exact: bool
    progress: Progress

    def examples(self, objective: Objective, device: torch.device = CPU) -> tuple[Tensor, Tensor]:
        """Training rows and their targets on a device, where the guide is too.

        With distortions these are labels alone, because the guide sees the distorted rows.
        """
        inputs = torch.as_tensor(self.data.x_train, dtype=self.dtype, device=device)
        labels = objective.labels(self.data, self.dtype).to(device)
        return inputs, labels if self.augment else objective.targets(_outputs(self.guide, inputs), labels)

    def loss(self, student: nn.Module, objective: Objective) -> Loss:
        """The loss of a student as it is now."""
        return distillation_loss(student, objective, self.guide if self.augment else None)


#: Makes a student of a model's layers: it and one line of text per replacement.
Recipe = Callable[[Imported, Lesson], tuple[fx.GraphModule, list[str]]]


def recipe_names(imported: Imported, conversion: Conversion) -> tuple[str, ...]:
    """The recipes to try in order; a further one is tried when what the one before made has collapsed."""
    fitted = any(layer.kind == "activation" and layer.name not in conversion.straight for layer in imported.layers)
    if conversion.degree not in (None, 2) or conversion.epochs == 0 or not fitted:
        return ("plain",)
    return ("stable",) if depth(imported.layers, conversion.straight) > PLAIN_DEPTH else ("plain", "stable")


def plain(imported: Imported, lesson: Lesson) -> tuple[fx.GraphModule, list[str]]:
    """Fit polynomials, then distil all at once.

    Raises: CalibrationError when training diverges, ConfigError.
    """
    conversion = lesson.conversion
    student, replaced = replace_operations(
        imported,
        torch.as_tensor(lesson.calibration, dtype=lesson.dtype),
        fit=partial(fitted_activation, degree=conversion.degree or DEFAULT_DEGREE, per_channel=conversion.per_channel),
        straight=conversion.straight,
    )
    if not _learns(student, replaced, lesson):
        return student, replaced
    polynomials = list(polynomial_activations(student))

    def guard() -> None:
        for polynomial in polynomials:
            polynomial.guard()

    with outputs_in_units(student, lesson.objective) as objective:
        fit_(
            student,
            *lesson.examples(objective),
            Schedule(
                **conversion.passes(len(lesson.data.x_train)),
                learning_rate=conversion.learning_rate,
                gradient_clip=GRADIENT_CLIP,
            ),
            loss=lesson.loss(student, objective),
            seed=lesson.seed,
            augment=lesson.augment,
            after_step=guard,
            progress=lesson.progress,
        )
    return student, replaced


def stable(imported: Imported, lesson: Lesson) -> tuple[fx.GraphModule, list[str]]:
    """Normalize the input of every activation, blend it into a quadratic, then fold (`compress.conversion.stable`).

    Raises: CalibrationError when training diverges, ConfigError.
    """

    def fit(layer: Layer, samples: NDArray[np.float64]) -> NormalizedActivation:
        return normalized_activation(layer, samples).to(lesson.dtype)

    with placed(imported.graph_module) as device:
        calibration = torch.as_tensor(lesson.calibration, dtype=lesson.dtype, device=device)
        student, replaced = replace_operations(imported, calibration, fit=fit, straight=lesson.conversion.straight)
    with outputs_in_units(student, softened(lesson.objective)) as objective, placed(student, lesson.guide) as device:
        distil_stably(
            student,
            *lesson.examples(objective, device),
            calibration,
            lesson.conversion,
            loss=lambda module: lesson.loss(module, objective),
            seed=lesson.seed,
            augment=lesson.augment,
            progress=lesson.progress,
        )
    return student, replaced


def rounded_further(network: Network, lesson: Lesson, recipe: str) -> Network:
    """The frozen network with plain squares and weights on a grid, trained on for ROUNDED_SHARE of the epochs before.

    Raises: CalibrationError when training diverges.
    """
    conversion = lesson.conversion
    assert conversion.fraction_bits is not None
    objective = softened(lesson.objective)
    passes = used(recipe, lesson)
    steps = max(LEAST_STEPS, ceil(len(lesson.data.x_train) / passes["batch_size"])) * passes["epochs"]
    return on_grid(
        network,
        conversion.fraction_bits,
        lambda device: lesson.examples(objective, device),
        Schedule(
            epochs=ceil(ROUNDED_SHARE * steps / ceil(len(lesson.data.x_train) / passes["batch_size"])),
            learning_rate=RATES[1] * conversion.learning_rate,
            batch_size=passes["batch_size"],
            gradient_clip=GRADIENT_CLIP,
        ),
        guide=lesson.guide,
        loss=lambda module: lesson.loss(module, objective),
        seed=lesson.seed + 2,
        augment=lesson.augment,
        progress=lambda label, fraction: lesson.progress("round", fraction),
    )


RECIPES: Mapping[str, Recipe] = {"plain": plain, "stable": stable}


def used(recipe: str, lesson: Lesson) -> dict[str, int]:
    """The degree, epochs and batch size of a recipe, where the conversion leaves them open too."""
    conversion = lesson.conversion
    rows = len(lesson.data.x_train)
    passes = stable_passes(conversion) if recipe == "stable" else conversion.passes(rows)
    return {"degree": conversion.degree or DEFAULT_DEGREE, **passes}


def _learns(student: nn.Module, replaced: list[str], lesson: Lesson) -> bool:
    """Whether there is anything to learn, and anything that can."""
    trainable = any(parameter.requires_grad for parameter in student.parameters())
    return lesson.conversion.epochs != 0 and trainable and not (lesson.exact and not replaced)


def _outputs(module: nn.Module, inputs: Tensor, batch: int = 1000) -> Tensor:
    with torch.no_grad():
        return torch.cat([module(inputs[start : start + batch]) for start in range(0, len(inputs), batch)])
