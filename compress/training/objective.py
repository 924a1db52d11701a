"""Objective: what a network is trained towards and scored by, as its task wants it.

Targets of a training row are the given network's outputs and, where labels help, the label in one row of numbers, so
that the given network runs once per row. Labels help only where the given network already knows something about them:
dummies, or labels of another question, would destroy what it does.

    classes      KL divergence from the given network's distribution, and cross entropy with the label
    binary       the same for one logit; squared error for outputs that are probabilities
    regression   squared error to the given network's outputs, each in units of its spread, and to trusted labels
    none         squared error to the given network's outputs
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from compress.dataset import Dataset
from compress.scores import Scoring, Task

logger = logging.getLogger(__name__)

#: Temperature that softens both distributions; 2 to 5 is usual. A quadratic network cannot follow the small
#: probabilities of its teacher, so that more softening would spend its capacity on them and cost accuracy.
TEMPERATURE = 1.0

#: Weight of the cross entropy with the labels, relative to that with the teacher. It is large, because compression may
#: have weakened the teacher.
LABEL_SHARE = 0.8

#: Weight of the squared error to the label, relative to that to the teacher, where compression may have weakened the
#: teacher. Otherwise it is 0: the teacher's outputs carry no noise of single labels.
TRUSTED_REGRESSION_SHARE = 0.5

#: How far an output may lie outside [0, 1] and still be a probability, as a network trained by squared error makes it.
PROBABILITY_MARGIN = 0.25

#: Training rows on which the given network is asked what it knows about the labels.
ASKED_ROWS = 5000

#: An accuracy is better than chance if it exceeds the share of the largest class by so many standard deviations.
CHANCE_SIGMAS = 3.0

#: Least spread of an output, relative to the root mean square of all spreads, that its errors are divided by.
LEAST_SPREAD = 1e-3


@dataclass(frozen=True, eq=False)
class Objective:
    """A task for outputs of one shape: targets, loss and score.

    label_share: weight of the labels in the loss, 0 where they are not used. spread: (outputs,), the standard deviation
    of each output of the given network, which its errors are divided by.
    """

    scoring: Scoring
    label_share: float
    spread: NDArray[np.float64]

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
        flat, width = outputs.reshape(len(outputs), -1), len(self.spread)
        wanted, labels = targets[:, :width], targets[:, width:]
        if self.task == "classes":
            total = TEMPERATURE**2 * F.kl_div(
                F.log_softmax(flat / TEMPERATURE, dim=1),
                F.log_softmax(wanted / TEMPERATURE, dim=1),
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
        flat = outputs.reshape(len(outputs), -1)
        if self.task == "classes":
            return F.cross_entropy(flat, targets[:, 0].long())
        if self._is_logit:
            return F.binary_cross_entropy_with_logits(flat, targets)
        return self._squared_error(flat, targets)

    @property
    def _is_logit(self) -> bool:
        return self.task == "binary" and self.scoring.threshold == 0

    def _squared_error(self, flat: Tensor, wanted: Tensor) -> Tensor:
        return ((flat - wanted) / torch.as_tensor(self.spread, dtype=flat.dtype)).square().mean()

    def score(self, outputs: NDArray[Any], wanted: NDArray[Any]) -> float:
        """The score of outputs (count, *output shape) against labels, or of task none against what is wanted."""
        return self.scoring.measured(outputs, wanted)

    def scores(self, before: float, after: float) -> dict[str, Any]:
        """The record of a step that changed the score: task, score and its values; accuracies under their own names."""
        accuracies = {"accuracy_before": before, "accuracy_after": after} if self.scoring.names_classes else {}
        return {**self.scoring.as_json(), "score_before": before, "score_after": after, **accuracies}


def objective_for(data: Dataset, outputs: NDArray[Any], *, trust_labels: bool = False) -> Objective:
    """The objective of a network whose outputs on the first training rows, in order, are `outputs` (rows, *shape).

    data: as `Dataset.for_outputs` gives it. trust_labels: use labels even where the network knows nothing about them,
    because compression may have weakened it, or because it is not trained yet.
    """
    flat = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1)
    labels = None if data.y_train is None else data.y_train[: len(flat)]
    if labels is None:
        return Objective(Scoring("none", "r2"), 0.0, _spread(flat))
    if data.task == "regression":
        like_inputs = labels.ndim > 2 or labels.shape[1:] == data.input_shape
        scoring = Scoring("regression", "mse" if like_inputs else "r2")
        wanted = labels.reshape(len(flat), -1)
        return Objective(
            scoring, TRUSTED_REGRESSION_SHARE if trust_labels else 0.0, _spread(wanted if trust_labels else flat)
        )
    scoring = _binary_scoring(flat, labels, trust_labels) if data.task == "binary" else Scoring("classes")
    known = trust_labels or _better_than_chance(scoring.measured(flat, labels), labels)
    if not known:
        logger.warning(
            "labels are not used: the given network's accuracy on them is no better than chance; "
            "the converted network learns from the given one alone"
        )
    return Objective(scoring, LABEL_SHARE if known else 0.0, _spread(flat))


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard deviation of each column, nowhere so small that its errors would outweigh all others."""
    spread = values.std(axis=0)
    overall = float(np.sqrt(np.mean(spread**2)))
    return np.maximum(spread, LEAST_SPREAD * overall if overall > 0 else 1.0)


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
