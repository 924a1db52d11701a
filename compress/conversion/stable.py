"""Training a deep network of quadratics so that it neither diverges nor loses its accuracy.

With several activations in a row, a quadratic of a quadratic amplifies every value that is a little too large, and
plain distillation diverges or stops at a bad network. What trains stably (trials with up to 19 quadratics in a row):

1. Every activation gets a normalization of its input by channel, and starts as the given activation, so that the
   network starts as the given one.
2. Each channel's quadratic is fitted to the activation by least squares, with a leading coefficient away from zero.
3. The activation is blended into the quadratic over the first BLEND_SHARE of the steps, while the network is distilled.
   A penalty holds normalized values within three standard deviations, and the largest of a row within four.
4. The statistics are measured again on clean data and become constants of the quadratics; nothing is left to fold.
5. That network is distilled further at a tenth of the learning rate.

The masks and steps of compressed layers do not move, because normalization ends in the quadratics alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.conversion.calibrate import check_samples
from compress.conversion.options import EPOCHS, Conversion
from compress.dataset import Progress
from compress.graph.layers import Layer
from compress.graph.modules import (
    EPSILON,
    LEAST_NORMALIZED_CURVATURE,
    RANGE_SIGMAS,
    NormalizedActivation,
    PolynomialActivation,
    polynomial_activations,
)
from compress.graph.polynomial import fit_polynomial, guard_leading
from compress.training.loop import Augment, Loss, fit_
from compress.training.objective import Objective
from compress.training.schedule import Schedule

Array = NDArray[np.float64]

#: Up to so many activations in a row the plain recipe is as good: see docs/compression.md for the measurements.
PLAIN_DEPTH = 4

#: Share of the steps of the first training in which activations turn into quadratics.
BLEND_SHARE = 0.35

#: An epoch has at least so many steps; small data sets are passed over several times in one.
LEAST_STEPS = 100

#: Rows in a step where none are given. On a processor more cost time without a better result.
BATCH = 64

#: What softens the answers that a deep network learns from, and the weight of labels beside them.
TEMPERATURE = 3.0
LABEL_SHARE = 0.3

#: The learning rates of the two trainings, relative to that of a conversion.
RATES = (0.1, 0.01)

#: Length of the second training, relative to the first.
FOLDED_SHARE = 0.25

#: Weight of the largest normalized value of a row in the penalty, relative to the mean of all.
PEAK_WEIGHT = 0.01

#: Share of a fit's weight that is spread evenly over RANGE_SIGMAS deviations, so that rare values are fitted too.
SPREAD_SHARE = 0.1

#: About how many samples per channel a quadratic is fitted on.
SAMPLES = 2000

#: Leading coefficients are looked after once in so many steps; on a GPU, doing it more often would keep it waiting.
GUARDED_STEPS = 10

#: A gradient is cut to this norm.
GRADIENT_CLIP = 1.0


def depth(layers: Sequence[Layer], straight: Collection[str] = ()) -> int:
    """The largest number of activations, squares and products in a row. straight: activations that become lines."""
    found = {"input": 0}
    for layer in layers:
        before = max(found[name] for name in layer.inputs)
        found[layer.name] = before + _squarings(layer, straight)
    return max(found.values())


def _squarings(layer: Layer, straight: Collection[str]) -> int:
    if layer.kind == "activation":
        return int(layer.name not in straight)
    if layer.kind == "polynomial":
        rows = layer.module.degree if isinstance(layer.module, PolynomialActivation) else _degree(layer)
        return math.ceil(math.log2(rows))
    return int(layer.kind == "multiply")


def _degree(layer: Layer) -> int:
    return len(layer.options["coefficients"]) - 1


def normalized_activation(layer: Layer, samples: Array) -> NormalizedActivation:
    """An activation with the statistics of its input samples (count, channels, ...) and a quadratic fitted per channel.

    Raises: CalibrationError.
    """
    check_samples(layer.name, samples)
    x = np.moveaxis(samples, 1, 0).reshape(samples.shape[1], -1)
    mean, deviation = x.mean(axis=1), np.sqrt(x.var(axis=1) + EPSILON)
    grid = np.linspace(-1.0, 1.0, 65)
    points = []
    for channel, (row, centre, width) in enumerate(zip(x, mean, RANGE_SIGMAS * deviation, strict=True)):
        drawn = row[:: 1 + len(row) // SAMPLES]
        z = np.concatenate([(drawn - centre) / width, grid])
        weights = np.concatenate([np.full(len(drawn), 1.0 / len(drawn)), np.full(len(grid), SPREAD_SHARE / len(grid))])
        values = layer.evaluated(centre + width * z, channel)
        points.append((z, values, weights))
    check_samples(layer.name, np.concatenate([values for _, values, _ in points]))
    fits = [fit_polynomial(z, values, 2, weights) for z, values, weights in points]
    unit = guard_leading(np.stack(fits, axis=1), LEAST_NORMALIZED_CURVATURE)
    return NormalizedActivation(layer.options["function"], unit, mean, deviation, PEAK_WEIGHT)


def stable_passes(conversion: Conversion) -> dict[str, int]:
    """Epochs and batch size of stable training: those given, or the ones for many rows, as it has LEAST_STEPS."""
    return {
        "epochs": EPOCHS if conversion.epochs is None else conversion.epochs,
        "batch_size": conversion.batch_size or BATCH,
    }


def softened(objective: Objective) -> Objective:
    """The objective with the temperature and the weight of labels that deep networks learn best with."""
    if objective.task != "classes":
        return objective
    return replace(objective, temperature=TEMPERATURE, label_share=LABEL_SHARE if objective.label_share else 0.0)


def distil_stably(
    student: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    calibration: Tensor,
    conversion: Conversion,
    *,
    loss: Callable[[nn.Module], Loss],
    seed: int,
    augment: Augment | None,
    progress: Progress,
) -> None:
    """Train `student`, whose activations are NormalizedActivations, and leave PolynomialActivations in their place.

    loss: makes the loss of the student, penalties of its activations included. calibration: rows that the statistics
    are measured on. The rest as for `fit_`.
    Raises: CalibrationError.
    """
    batch = stable_passes(conversion)["batch_size"]
    per_epoch = math.ceil(len(inputs) / batch)
    steps = max(LEAST_STEPS, per_epoch) * stable_passes(conversion)["epochs"]

    def schedule(share: float, rate: float) -> Schedule:
        return Schedule(
            epochs=math.ceil(share * steps / per_epoch),
            learning_rate=rate * conversion.learning_rate,
            batch_size=batch,
            gradient_clip=GRADIENT_CLIP,
        )

    fit_(
        student,
        inputs,
        targets,
        schedule(1.0, RATES[0]),
        loss=loss(student),
        seed=seed,
        augment=augment,
        after_step=_Blend(student, BLEND_SHARE * steps),
        progress=lambda label, fraction: progress(label, fraction / (1 + FOLDED_SHARE)),
    )
    recalibrate_(student, calibration)
    fold_(student)
    fit_(
        student,
        inputs,
        targets,
        schedule(FOLDED_SHARE, RATES[1]),
        loss=loss(student),
        seed=seed + 1,
        augment=augment,
        after_step=_Blend(student, 0),
        progress=lambda label, fraction: progress(label, (1 + FOLDED_SHARE * fraction) / (1 + FOLDED_SHARE)),
    )
    for activation in polynomial_activations(student):
        activation.guard()


class _Blend:
    """After each step more of the quadratics, up to all after `steps`; at times their coefficients are guarded."""

    def __init__(self, student: nn.Module, steps: float) -> None:
        self.activations = list(polynomial_activations(student))
        self.steps, self.done = steps, 0

    def __call__(self) -> None:
        self.done += 1
        for activation in self.activations:
            if self.done % GUARDED_STEPS == 0:
                activation.guard()
            if isinstance(activation, NormalizedActivation):
                activation.blend = min(1.0, self.done / self.steps)


def recalibrate_(student: nn.Module, rows: Tensor) -> None:
    """Set all running statistics to those of these rows, in one pass: each layer's follow from those before."""
    normalized = [part for part in student.modules() if isinstance(part, NormalizedActivation)]
    for part in normalized:
        part.momentum, part.blend = 1.0, 1.0
    student.train()
    with torch.no_grad():
        student(rows)
    student.eval()


def fold_(student: nn.Module) -> None:
    """Put the quadratic of its running statistics in the place of every NormalizedActivation."""
    for name, part in list(student.named_modules()):
        if isinstance(part, NormalizedActivation):
            part.guard()
            student.set_submodule(name, part.folded())
