"""Boxes (x1, y1, x2, y2) in pixels with scores and classes, checked once, and how much two boxes overlap."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import InputShapeError


@dataclass(frozen=True)
class Detections:
    """Checked boxes (n, 4) in float64, scores (n,) in float64 and classes (n,) from 0 in int64.

    as_tensor: whether the caller gave torch tensors and expects one back.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    as_tensor: bool = False

    def indices(self, kept: NDArray[np.intp]) -> Any:
        """Indices as the caller expects them: an int64 tensor if the boxes were one, otherwise an array."""
        return sys.modules["torch"].from_numpy(kept.astype(np.int64)) if self.as_tensor else kept


def read_detections(boxes: object, scores: object, classes: object = None) -> Detections:
    """What a caller gave, checked. Tensors of torch are read where they lie, without loading torch for arrays.

    boxes: (n, 4) with x1 <= x2 and y1 <= y2. scores: (n,). classes: (n,) whole numbers from 0, or None for one class.
    Raises: InputShapeError for other shapes, for values that are not finite, for negative sizes and classes.
    """
    read = _numbers("boxes", boxes).astype(np.float64, copy=False)
    if not read.size:
        read = read.reshape(0, 4)
    if read.ndim != 2 or read.shape[1] != 4:
        raise InputShapeError(f"boxes: shape {read.shape}; give (n, 4): x1, y1, x2, y2 per box")
    found_scores = _per_box("scores", scores, len(read)).astype(np.float64, copy=False)
    if not isfinite(read.sum() + found_scores.sum()):  # a quick look first: the sum shows it
        _check_finite("boxes", read)
        _check_finite("scores", found_scores)
    backwards = read[:, 2:] < read[:, :2]
    if backwards.any():
        row = int(backwards.any(axis=1).argmax())
        raise InputShapeError(f"boxes: row {row} is {read[row].tolist()}, of negative size; give x1 <= x2 and y1 <= y2")
    return Detections(read, found_scores, _classes(classes, len(read)), _is_tensor(boxes))


def intersection_and_union(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas that boxes (..., 4) share and cover together; shapes broadcast. Their quotient is the overlap (IoU)."""
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clip(min=0).prod(axis=-1)
    return shared, areas(first) + areas(second) - shared


def areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas of boxes (..., 4), in square pixels."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def best_first(found: Detections) -> NDArray[np.intp]:
    """Indices by falling score; of equal scores the box with the smaller x1, y1, x2, y2 is better.

    Boxes that are equal in everything follow the order of the list, so exactly one of them is best.
    """
    order = np.argsort(-found.scores, kind="stable")
    ordered = found.scores[order]
    if (ordered[1:] == ordered[:-1]).any():
        return np.lexsort((*found.boxes[:, ::-1].T, -found.scores))
    return order


def ranks(found: Detections) -> NDArray[np.float64]:
    """A rank per box by the order of `best_first`, all of them different; the best box has the highest."""
    order = best_first(found)
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order), 0, -1)
    return rank


def _is_tensor(values: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def _numbers(field: str, values: Any) -> NDArray[Any]:
    try:
        read = np.asarray(values.detach().cpu() if _is_tensor(values) else values)
    except (TypeError, ValueError) as error:
        raise InputShapeError(f"{field}: not an array of numbers ({error})") from error
    if read.dtype.kind not in "fiub":
        raise InputShapeError(f"{field}: an array of {read.dtype}; give numbers")
    return read


def _per_box(field: str, values: object, count: int) -> NDArray[Any]:
    read = _numbers(field, values)
    if read.shape != (count,) and (read.size or count):
        raise InputShapeError(f"{field}: shape {read.shape} for {count} boxes; give one per box")
    return read.reshape(count)


def _classes(classes: object, count: int) -> NDArray[np.int64]:
    if classes is None:
        return np.zeros(count, dtype=np.int64)
    read = _per_box("classes", classes, count)
    if count and (read.dtype.kind not in "iu" or (read < 0).any()):
        raise InputShapeError("classes: they must be whole numbers from 0; number the classes")
    return read.astype(np.int64, copy=False)


def _check_finite(field: str, values: NDArray[np.float64]) -> None:
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        raise InputShapeError(f"{field}: row {row} is {values[row].tolist()}; every value must be finite")
