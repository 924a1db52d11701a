"""What a network is for, and how good its outputs are: tasks, and the score that belongs to each. Pure numpy.

classes     one output per class; the largest names the class          accuracy
binary      one output; above a threshold it is the second class       accuracy
regression  outputs are wanted numbers                                 r2; mse where the wanted numbers are inputs
none        no labels: what the given network answers is wanted        r2 against those answers
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import ConfigError, DataError
from compress.tasks import SCORES, ScoreName, Task, check_task

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scoring:
    """A task with the name of its score, and how outputs are read.

    threshold: of task binary; an output above it is class 1. It is 0 for a logit and 0.5 for a probability. pooled: all
    outputs have one unit, as the pixels of an image have, so that R2 is that of all together; otherwise it is the mean
    over outputs.
    """

    task: Task
    score: ScoreName = "accuracy"
    threshold: float = 0.0
    pooled: bool = False

    @property
    def names_classes(self) -> bool:
        """Whether an answer is a class."""
        return self.task in ("classes", "binary")

    def classes(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        """The class that each row of outputs (count, ...) names; of task classes or binary."""
        flat = np.asarray(outputs).reshape(len(outputs), -1)
        if self.task == "binary":
            return np.asarray(flat[:, 0] > self.threshold, dtype=np.int64)
        return np.asarray(flat.argmax(axis=1), dtype=np.int64)

    def numbered(self, labels: NDArray[Any], outputs: int, names: Sequence[str] = ()) -> NDArray[Any]:
        """Labels as `measured` takes them: text by the names of classes, numbers as they are.

        Raises: DataError for text that is no name, and for numbers that are no classes of so many outputs.
        """
        if not self.names_classes:
            return labels
        found = np.asarray(labels)
        if found.dtype.kind in "UO":
            unknown = [value for value in np.unique(found.astype(np.str_)) if value not in names]
            if unknown:
                known = ", ".join(names) or "none"
                raise DataError(f"labels hold '{unknown[0]}', which is no name of a class; the names are {known}")
            return np.array([names.index(str(value)) for value in found], dtype=np.int64)
        count = 2 if self.task == "binary" else outputs
        if found.size and not (0 <= found.min() and found.max() < count):
            raise DataError(
                f"labels go from {found.min():g} to {found.max():g}, and the network has the classes 0 to {count - 1}; "
                "number them from 0, as Dataset.for_outputs does"
            )
        return found

    def measured(self, outputs: NDArray[Any], labels: NDArray[Any]) -> float:
        """The score of outputs (count, ...) against labels: class numbers (count,), or numbers of the outputs' shape.

        Raises: DataError for labels that do not fit the outputs.
        """
        if self.names_classes:
            return float(np.mean(self.classes(outputs) == labels))
        flat, wanted = (np.asarray(part, dtype=np.float64).reshape(len(part), -1) for part in (outputs, labels))
        if flat.shape != wanted.shape:
            raise DataError(f"labels of shape {np.shape(labels)} do not fit outputs of shape {np.shape(outputs)}")
        if self.score == "mse":
            return float(np.mean((flat - wanted) ** 2))
        return r2(flat, wanted, pooled=self.pooled)

    def wanted(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """What outputs stand for as labels, where there are no others: their classes, or the numbers themselves."""
        return self.classes(outputs) if self.names_classes else outputs

    def share(self, outputs: NDArray[Any], labels: NDArray[Any]) -> float:
        """The score as a number that is 1 at best: accuracy, or R2 in the place of a mean squared error."""
        if self.score != "mse":
            return self.measured(outputs, labels)
        return replace(self, score="r2").measured(outputs, labels)

    def agreement(self, outputs: NDArray[Any], others: NDArray[Any]) -> float:
        """How far outputs agree with others of the same network: the share of equal classes, or R2."""
        if self.names_classes:
            return float(np.mean(self.classes(outputs) == self.classes(others)))
        flat, wanted = (np.asarray(part, dtype=np.float64).reshape(len(part), -1) for part in (outputs, others))
        return r2(flat, wanted, pooled=self.pooled)

    def as_json(self) -> dict[str, Any]:
        """Task and score, and what is not as usual, as the record of a network keeps them."""
        found: dict[str, Any] = {"task": self.task, "score": self.score}
        if self.task == "binary":
            found["threshold"] = self.threshold
        return found | ({"pooled": True} if self.pooled else {})


def scoring_of(about: Mapping[str, Any]) -> Scoring:
    """The scoring in a network's record; task classes for a record from before there were others.

    Raises: ConfigError for a record that names an unknown task or score.
    """
    task, score, threshold = about.get("task", "classes"), about.get("score", "accuracy"), about.get("threshold", 0.0)
    check_task(task)
    if score not in SCORES:
        raise ConfigError("score", score, f"one of {', '.join(SCORES)}")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not np.isfinite(threshold):
        raise ConfigError("threshold", threshold, "a finite number")
    return Scoring(task, score, float(threshold), about.get("pooled") is True)


def r2(outputs: Array, wanted: Array, *, pooled: bool = False) -> float:
    """The coefficient of determination 1 - sum (y - o)^2 / sum (y - mean y)^2 of outputs (count, outputs).

    It is the mean over outputs, as scikit-learn's `r2_score` has it; pooled: both sums run over all outputs, so that
    outputs that hardly vary hardly count. Where nothing varies it is 1 for exact outputs and 0 for others.
    """
    errors = ((wanted - outputs) ** 2).sum(axis=0)
    spread = ((wanted - wanted.mean(axis=0)) ** 2).sum(axis=0)
    if pooled:
        errors, spread = errors.sum(keepdims=True), spread.sum(keepdims=True)
    shares = np.divide(errors, spread, out=np.where(errors > 0, 1.0, 0.0), where=spread > 0)
    return float(np.mean(1.0 - shares))
