"""What a native network learns from: the labels of the data, or the classes that the given network answers.

Labels are there for most data. Whether the given network's answers teach better is not known beforehand, so both are
tried for a few epochs, and held-out training rows decide. Test rows have no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from compress.training.held_out import HELD_OUT_IMAGES, LARGEST_SHARE

#: From targets (rows, classes) and labels (rows,) of all rows to the accuracy on held-out ones.
Trial = Callable[[Tensor, NDArray[np.int64]], float]


@dataclass(frozen=True, eq=False)
class Lesson:
    """Where the targets come from and what they are: probabilities (rows, classes), float32.

    source: "labels" or "teacher". held_out: the accuracy on held-out rows after a short training on either, if tried.
    """

    source: str
    targets: Tensor
    held_out: Mapping[str, float] = field(default_factory=dict)


def lesson(
    wanted: str,
    labels: NDArray[np.int64] | None,
    answers: Callable[[], NDArray[np.float64]],
    classes: int,
    trial: Trial,
) -> Lesson:
    """The targets of all training rows.

    wanted: one of `options.LESSONS`. labels: (rows,) class numbers, or None. answers: the given network's outputs on
    all rows, (rows, classes); called only where they are needed. trial: trains on targets of all rows but the held-out
    ones and measures on these.
    """
    if labels is not None:
        from_labels = F.one_hot(torch.from_numpy(labels), classes).float()
        if wanted == "labels":
            return Lesson("labels", from_labels)
    from_teacher = torch.softmax(torch.from_numpy(answers()), dim=1).float()
    if labels is None or wanted == "teacher":
        return Lesson("teacher", from_teacher)
    reached = {"labels": trial(from_labels, labels), "teacher": trial(from_teacher, labels)}
    best = max(reached, key=lambda source: reached[source])  # labels, if both are equally good
    return Lesson(best, from_labels if best == "labels" else from_teacher, reached)


def divided(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """(rows to train on, held-out rows) of a trial, as indices."""
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    aside = min(HELD_OUT_IMAGES, int(LARGEST_SHARE * rows))
    return order[aside:], order[:aside]
