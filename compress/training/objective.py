"""Objective: what a network is trained towards and scored by, as its task wants it.

Targets of a training row are the given network's outputs and, where labels help, the label in one row of numbers, so
that the given network runs once per row.

    classes      KL divergence from the given network's distribution, and cross entropy with the label
    binary       cross entropy with the given network's probability; squared error where outputs are probabilities
    regression   squared error to the given network's outputs, in units of their spread
    none         the same

Labels count for classes, and for other tasks where compression may have weakened the given network. Class labels count
only where the given network knows something about them: dummies, or labels of another question, would destroy what it
does.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.dataset import Dataset
from compress.errors import CalibrationError, InputShapeError
from compress.parts import Part, places
from compress.scores import Scoring
from compress.tasks import Task
from compress.training.loop import predict

logger = logging.getLogger(__name__)

#: Temperature that softens both distributions; 2 to 5 is usual. A quadratic network cannot follow the small
#: probabilities of its teacher, so that more softening would spend its capacity on them and cost accuracy.
TEMPERATURE = 1.0

#: Weight of the loss towards labels, relative to that towards the teacher, for classes and wherever compression may
#: have weakened the teacher. Elsewhere it is 0: the teacher's outputs carry no noise of single labels.
TRUSTED_SHARE = 0.8

#: How far an output may lie outside [0, 1] and still be a probability, as a network trained by squared error makes it.
PROBABILITY_MARGIN = 0.25

#: Training rows on which the given network is asked what it knows about the labels.
ASKED_ROWS = 5000

#: An accuracy is better than chance if it exceeds the share of the largest class by so many standard deviations.
CHANCE_SIGMAS = 3.0

#: Least spread of an output, relative to its root mean square, that its errors are divided by.
LEAST_SPREAD = 1e-3


@dataclass(frozen=True, eq=False)
class Objective:
    """A task for outputs of one shape: targets, loss and score.

    label_share: weight of the labels in the loss, 0 where they are not used. spread: (outputs,), the standard deviation
    of each output of the given network, which its errors are divided by. units: (outputs,), what the trained network's
    outputs are multiplied by before they are compared; None for ones. temperature: what softens the distributions of
    classes, as the given network's and the trained one's logits are divided by it.
    """

    scoring: Scoring
    label_share: float
    spread: NDArray[np.float64]
    units: NDArray[np.float64] | None = None
    temperature: float = TEMPERATURE

    @property
    def task(self) -> Task:
        return self.scoring.task

    def labels(self, data: Dataset, dtype: torch.dtype) -> Tensor:
        """The labels of the training rows as (count, numbers per label); no numbers where labels are not used."""
        if self.label_share == 0 or data.y_train is None:
            return torch.empty(len(data.x_train), 0, dtype=dtype)
        return torch.as_tensor(data.y_train).reshape(len(data.x_train), -1).to(dtype)

    def targets(self, wanted: Tensor, labels: Tensor) -> Tensor:
        """The given network's outputs (count, *output shape) beside `labels`: (count, outputs + numbers per label)."""
        return torch.cat([wanted.reshape(len(wanted), -1), labels.to(wanted.dtype)], dim=1)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of outputs (batch, *output shape), a scalar; targets as `targets` makes them."""
        flat, width = self._flat(outputs), len(self.spread)
        wanted, labels = targets[:, :width], targets[:, width:]
        if self.task == "classes":
            total = self.temperature**2 * F.kl_div(
                F.log_softmax(flat / self.temperature, dim=1),
                F.log_softmax(wanted / self.temperature, dim=1),
                reduction="batchmean",
                log_target=True,
            )
        elif self._is_logit:
            total = F.binary_cross_entropy_with_logits(flat, torch.sigmoid(wanted))
        else:
            total = self._squared_error(flat, wanted)
        if self.label_share == 0:
            return total
        return (1.0 - self.label_share) * total + self.label_share * self.label_loss(outputs, labels, outputs)

    def label_loss(self, outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        """The loss towards labels alone, (batch, numbers per label); inputs are not looked at."""
        flat = self._flat(outputs)
        if self.task == "classes":
            return F.cross_entropy(flat, targets[:, 0].long())
        if self._is_logit:
            return F.binary_cross_entropy_with_logits(flat, targets)
        return self._squared_error(flat, targets)

    def sampled_loss(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """-log p(y | x), summed over a batch, with y drawn from the network's own answers.

        The mean square of its gradient is the Fisher information. For numbers, y is normal around the output with the
        output's spread as its deviation, so that the gradient is that of random combinations of outputs (derived).
        """
        flat = outputs.reshape(len(outputs), -1)
        if self.task == "classes":
            drawn = torch.multinomial(torch.softmax(flat.detach().float(), dim=1), 1, generator=generator)[:, 0]
            return F.cross_entropy(flat, drawn, reduction="sum")
        if self._is_logit:
            coins = torch.rand(flat.shape, generator=generator).to(flat.dtype)
            return F.binary_cross_entropy_with_logits(
                flat, (coins < torch.sigmoid(flat.detach())).to(flat.dtype), reduction="sum"
            )
        noise = torch.randn(flat.shape, generator=generator).to(flat.dtype)
        return (noise * flat / torch.as_tensor(self.spread, dtype=flat.dtype)).sum()

    def _flat(self, outputs: Tensor) -> Tensor:
        flat = outputs.reshape(len(outputs), -1)
        return flat if self.units is None else flat * torch.as_tensor(self.units, dtype=flat.dtype, device=flat.device)

    @property
    def learns_probabilities(self) -> bool:
        """Whether outputs are scores of classes, whose unit means something."""
        return self.task == "classes" or self._is_logit

    @property
    def _is_logit(self) -> bool:
        return self.task == "binary" and self.scoring.threshold == 0

    def _squared_error(self, flat: Tensor, wanted: Tensor) -> Tensor:
        spread = torch.as_tensor(self.spread, dtype=flat.dtype, device=flat.device)
        return ((flat - wanted) / spread).square().mean()

    def score(self, outputs: NDArray[Any], wanted: NDArray[Any]) -> float:
        """The score of outputs (count, *output shape) against labels, or of task none against what is wanted."""
        return self.scoring.measured(outputs, wanted)

    def scores(self, before: float, after: float) -> dict[str, Any]:
        """The record of a step that changed the score: task, score and its values; accuracies under their own names."""
        accuracies = {"accuracy_before": before, "accuracy_after": after} if self.scoring.names_classes else {}
        return {**self.scoring.as_json(), "score_before": before, "score_after": after, **accuracies}


#: Of classes whose labels are trusted.
CLASSES = Objective(Scoring("classes"), TRUSTED_SHARE, np.ones(1))


def settled(data: Dataset, outputs: NDArray[Any], *, trust_labels: bool = False) -> tuple[Dataset, Objective]:
    """The data as a network needs it whose outputs on the first training rows, in order, are `outputs`; the objective.

    outputs: (rows, *output shape). trust_labels: use labels even where the network knows nothing about them, because
    compression may have weakened it, or because it is not trained yet. Otherwise labels from which the task is derived,
    and about which the network knows nothing, are left aside with a warning; the task is then none.
    Raises: DataError for labels that do not fit the outputs; CalibrationError for outputs that are not finite.
    """
    fitted = data.for_outputs(outputs.shape[1:])
    if not np.isfinite(outputs).all():
        raise CalibrationError(
            None, f"data '{data.name}': the network's answers are not finite; check its weights and the data"
        )
    flat = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1)
    alike = outputs.ndim > 2 or outputs.shape[1:] == data.input_shape
    units = _units(data.output_parts, flat.shape[1], alike)
    alike = alike or any(len(part.shape) > 1 for part in data.output_parts)
    labels = None if fitted.y_train is None else fitted.y_train[: len(flat)]
    if labels is not None and fitted.task == "regression":
        spread = _spread(labels.reshape(len(flat), -1) if trust_labels else flat, units)
        scoring = Scoring("regression", "mse" if alike else "r2", pooled=alike)
        return fitted, Objective(scoring, TRUSTED_SHARE if trust_labels else 0.0, spread)
    if labels is not None:
        binary = fitted.task == "binary"
        scoring = _binary_scoring(flat, labels, trust_labels) if binary else Scoring("classes")
        if trust_labels or _better_than_chance(scoring.measured(flat, labels), labels):
            share = TRUSTED_SHARE if trust_labels or not binary else 0.0
            return fitted, Objective(scoring, share, _spread(flat, units))
        logger.warning(
            "labels are not used: the given network's accuracy on them is no better than chance; "
            "the network learns from what the given one answers"
        )
        if data.task is not None:
            return fitted, Objective(scoring, 0.0, _spread(flat, units))
    if labels is None and fitted.task in ("classes", "binary"):  # said by the user: answers are classes
        return fitted, Objective(Scoring(fitted.task), 0.0, _spread(flat, units))
    fitted = replace(fitted, y_train=None, y_test=None, task="none", class_names=())
    return fitted, Objective(Scoring("none", "r2", pooled=alike), 0.0, _spread(flat, units))


def settled_for(module: nn.Module, data: Dataset, *, trust_labels: bool = False) -> tuple[Dataset, Objective]:
    """The same for a network itself.

    Raises: InputShapeError for a network that does not take the rows; DataError for labels that do not fit.
    """
    try:
        outputs = predict(module, data.x_train[:ASKED_ROWS])
    except (RuntimeError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputShapeError(
            f"data {data.name}: the network does not take rows of shape {data.input_shape} ({reason}); "
            "choose other data"
        ) from error
    return settled(data, outputs, trust_labels=trust_labels)


def _units(parts: Sequence[Part], outputs: int, alike: bool) -> list[NDArray[np.intp]]:
    """The outputs that share a unit: all of one image, otherwise each by itself."""
    whole = [Part("output", (outputs, 1) if alike else (outputs,))] if not parts else parts
    found: list[NDArray[np.intp]] = []
    for part, place in zip(whole, places(whole), strict=True):
        own = np.arange(outputs)[place]
        found += [own] if len(part.shape) > 1 else list(own[:, None])
    return found


def _spread(values: NDArray[np.float64], units: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
    """What errors of each column are divided by: its standard deviation, or that of all that share its unit.

    It is nowhere so small that errors of a column that hardly varies would outweigh all others.
    """
    deviation, size = values.std(axis=0), np.sqrt(np.mean(values**2, axis=0))
    overall = float(np.sqrt(np.mean(deviation**2)))
    if overall == 0:
        return np.ones(len(deviation))
    spread = np.empty(len(deviation))
    for columns in units:
        own, whole = (float(np.sqrt(np.mean(part[columns] ** 2))) for part in (deviation, size))
        spread[columns] = max(own, LEAST_SPREAD * whole, LEAST_SPREAD**2 * overall)
    return spread


def _binary_scoring(outputs: NDArray[np.float64], labels: NDArray[Any], trust_labels: bool) -> Scoring:
    """Threshold 0.5 where all outputs are probabilities and right more often that way, otherwise 0."""
    logit, probability = Scoring("binary"), Scoring("binary", threshold=0.5)
    if outputs.min() < -PROBABILITY_MARGIN or outputs.max() > 1 + PROBABILITY_MARGIN:
        return logit
    better = trust_labels or probability.measured(outputs, labels) > logit.measured(outputs, labels)
    return probability if better else logit


def _better_than_chance(accuracy: float, labels: NDArray[Any]) -> bool:
    """Whether an accuracy exceeds that of always naming the largest class by more than luck explains."""
    share = float(np.bincount(labels).max() / len(labels))
    return accuracy > share + CHANCE_SIGMAS * float(np.sqrt(share * (1 - share) / len(labels)))
