"""Average precision of detections over many pictures, at one overlap (AP50) or the mean of ten (AP50:95).

Source: COCO's evaluation: detections of a class are taken by falling score; one is right if it overlaps an object of
its picture and class that no better one has taken; precision is made monotone and read at 101 recalls. Areas and
crowds are not told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cipherpress.detection.boxes import intersection_and_union

#: The overlaps of AP50:95 and the recalls at which precision is read.
OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Labelled:
    """Boxes (n, 4) with classes (n,) and pictures (n,); scores (n,) for detections, None for true objects."""

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    picture: NDArray[np.int64]
    scores: NDArray[np.float64] | None = None

    def of_class(self, number: int) -> Labelled:
        own = self.classes == number
        scores = None if self.scores is None else self.scores[own]
        return Labelled(self.boxes[own], self.classes[own], self.picture[own], scores)


def average_precision(found: Labelled, truth: Labelled, overlaps: Sequence[float] = OVERLAPS) -> NDArray[np.float64]:
    """The mean over classes of the average precision, one per overlap. Classes without objects are left out; without
    any object all are NaN."""
    numbers = np.unique(truth.classes)
    each = [_of_class(found.of_class(number), truth.of_class(number), overlaps) for number in numbers]
    return np.mean(each, axis=0) if each else np.full(len(overlaps), np.nan)


def _of_class(found: Labelled, truth: Labelled, overlaps: Sequence[float]) -> NDArray[np.float64]:
    assert found.scores is not None
    order = np.argsort(-found.scores, kind="stable")
    objects: dict[int, NDArray[np.intp]] = {
        int(picture): np.flatnonzero(truth.picture == picture) for picture in np.unique(truth.picture)
    }
    right = np.zeros((len(overlaps), len(order)))
    taken = np.zeros((len(overlaps), len(truth.boxes)), dtype=np.bool_)
    for place, number in enumerate(order):
        rows = objects.get(int(found.picture[number]))
        if rows is None:
            continue
        shared, covered = intersection_and_union(found.boxes[number], truth.boxes[rows])
        ratio = np.divide(shared, covered, out=np.zeros_like(shared), where=covered > 0)
        for level, least in enumerate(overlaps):
            free = np.where(taken[level, rows], -1.0, ratio)
            best = int(free.argmax())
            if free[best] >= least:
                taken[level, rows[best]] = True
                right[level, place] = 1
    hits = right.cumsum(axis=1)
    precision = hits / np.arange(1, len(order) + 1)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.array([_read(hits[level] / len(truth.boxes), precision[level]) for level in range(len(overlaps))])


def _read(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """The mean of the precision at RECALLS; 0 where a recall is not reached."""
    places = np.searchsorted(recall, RECALLS - 1e-12)
    return float(np.append(precision, 0.0)[places.clip(max=len(precision))].mean())
