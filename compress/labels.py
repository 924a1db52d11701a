"""Labels of every kind: read as arrays, and brought into the form that a network with given outputs needs. Pure numpy.

    labels                             one output             k outputs
    none, or the same for every row    none                   none
    two values                         binary (0 and 1)       classes
    whole numbers, more values         regression             classes
    text                               binary (two values)    classes
    other numbers                      regression             refused
    k numbers per row                  refused                regression; classes where each row is one-hot

Two values are binary if they are whole numbers of an integer type, booleans, or the floats 0 and 1.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import DataError, printable
from compress.tasks import Task

Labels = NDArray[Any]
Shape = tuple[int, ...]

logger = logging.getLogger(__name__)

#: Control characters, which command a terminal, and surrogates, which no text encoding can write.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Fitted:
    """Labels in the form that a task needs, or None: always for task none, and where there are none.

    classes: int64 from 0, (count,). binary: int64 0 and 1, (count,). regression: float64, (count, *output shape).
    names: of the classes, where they are not the numbers themselves.
    """

    task: Task
    train: Labels | None
    test: Labels | None
    names: tuple[str, ...] = ()


def read_labels(field: str, y: NDArray[Any]) -> Labels:
    """Labels as int64, float64 or text, (count, ...); booleans become 0 and 1.

    Raises: DataError for what is neither numbers nor text, for numbers that are not finite, and for text with control
    characters.
    """
    if y.dtype.kind == "O":
        if not all(isinstance(value, str) for value in y.ravel()):
            raise DataError(f"{field} holds Python objects; give numbers, or one text for each row")
        y = y.astype(np.str_)
    if y.dtype.kind == "u" and y.size and y.max() > np.iinfo(np.int64).max:
        raise DataError(f"{field} has {y.max()}, which no 64-bit integer holds; number the classes from 0")
    if y.dtype.kind in "biu":
        return np.ascontiguousarray(y, dtype=np.int64)
    if y.dtype.kind in "US":
        if y.ndim != 1:
            raise DataError(f"{field} has shape {y.shape}; labels that are text are one per row")
        try:
            texts = y.astype(np.str_)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{field} holds bytes that are no ASCII text; decode them, or number the classes"
            ) from error
        check_text(field, np.unique(texts).tolist())
        return texts
    if y.dtype.kind != "f":
        raise DataError(f"{field} is {y.dtype}; labels are integers, booleans, text or real numbers, or None")
    values = np.ascontiguousarray(y, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{field} holds values that are not finite; clean the data, or give None for no labels")
    return values


def check_text(field: str, texts: Iterable[str]) -> None:
    """Refuse text that no file of a result may hold: control characters, and halves of characters.

    Raises: DataError.
    """
    for text in texts:
        found = _CONTROL.search(text)
        if found is not None:
            raise DataError(
                f"{field} holds '{printable(text)[:80]}', which has the control character "
                f"{printable(found.group())}; leave it out"
            )


def fitted_labels(
    train: Labels | None, test: Labels | None, outputs: Shape, *, task: Task | None = None, names: Sequence[str] = ()
) -> Fitted:
    """Labels for a network whose outputs have this shape per row; task: what they are for, None to derive it.

    Labels that number the outputs as they are stay as they are. Others are mapped in order: text by `names`, or in
    alphabetical order; numbers from 1 to the number of outputs by subtracting 1; as many different numbers as outputs
    by their rank.
    Raises: DataError for labels that do not fit the outputs.
    """
    size = int(np.prod(outputs, dtype=np.int64))
    if task in ("classes", "binary") and (task == "binary") != (size == 1):
        needs = "one output" if task == "binary" else "several outputs"
        raise DataError(f"task {task} needs {needs}, and the network has {size}; choose another task")
    if task == "none" or train is None or test is None:
        return Fitted(task, None, None, tuple(names)) if task in ("classes", "binary") else Fitted("none", None, None)
    every = np.concatenate([train, test])
    if task is None:
        task = _derived(every, outputs, size)
        if task == "none":
            logger.warning("labels are not used: they say nothing about outputs of shape %s", outputs)
            return Fitted("none", None, None)
    if task == "regression":
        return Fitted(task, _targets(train, outputs, size), _targets(test, outputs, size))
    if every.ndim > 1:
        if not _one_hot(every, size) and every[0].size != 1:
            raise DataError(
                f"labels have shape {every.shape[1:]} per row; task {task} needs one class for each row, or one-hot"
            )
        train, test = (part.reshape(len(part), -1) for part in (train, test))
        train, test = (part.argmax(axis=1) if size > 1 and part.shape[1] > 1 else part[:, 0] for part in (train, test))
        every = np.concatenate([train, test])
    mapping = _mapping(every, 2 if task == "binary" else size, names)
    return Fitted(task, mapping.numbers(train), mapping.numbers(test), mapping.names)


@dataclass(frozen=True)
class _Mapping:
    """Sorted values and the class number of each."""

    values: NDArray[Any]
    classes: NDArray[np.int64]
    names: tuple[str, ...]

    def numbers(self, labels: Labels) -> NDArray[np.int64]:
        found = self.classes[np.searchsorted(self.values, labels)]
        same = labels.dtype == np.int64 and np.array_equal(found, labels)
        return labels if same else np.asarray(found, dtype=np.int64)


def _derived(every: Labels, outputs: Shape, size: int) -> Task:
    if every.ndim > 1 and every[0].size > 1:
        return "classes" if _one_hot(every, size) else "regression"
    values = np.unique(every)
    if len(values) == 1:
        return "none"
    whole = every.dtype.kind != "f"
    if size == 1:
        two = len(values) == 2 and (whole or np.array_equal(values, [0.0, 1.0]))
        return "binary" if two or every.dtype.kind == "U" else "regression"
    if len(outputs) != 1:
        return "none"  # one class for each row says nothing about an output that is an image
    if not whole and not np.array_equal(values, np.rint(values)):
        raise DataError(
            f"labels are one real number for each row, but the network has {size} outputs; give {size} numbers for "
            "each row, class numbers, or None to use no labels"
        )
    return "classes"


def _one_hot(every: Labels, size: int) -> bool:
    """Whether each row marks one of several outputs by a 1 among zeros."""
    if every.dtype.kind == "U" or size < 2 or every.shape[1:] != (size,):
        return False
    return bool(((every == 0) | (every == 1)).all() and (every.sum(axis=1) == 1).all())


def _targets(part: Labels, outputs: Shape, size: int) -> NDArray[np.float64]:
    if part.dtype.kind == "U":
        raise DataError("labels are text, which is nothing to regress on; give numbers, or task 'classes'")
    if part[0].size != size:
        raise DataError(
            f"labels have shape {part.shape[1:]} per row, the network's outputs {outputs}; give {size} "
            f"number{'s' if size > 1 else ''} for each row, or None to use no labels"
        )
    return np.ascontiguousarray(part, dtype=np.float64).reshape(len(part), *outputs)


def _mapping(every: Labels, classes: int, names: Sequence[str]) -> _Mapping:
    """Which class each value is, for a network that tells so many classes apart.

    Raises: DataError.
    """
    values = np.unique(every)
    if values.dtype.kind == "U":
        return _of_text(values, classes, tuple(names))
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise DataError(f"labels hold {values[values != np.rint(values)][0]:g}; class numbers are whole numbers")
    low, high = int(values[0]), int(values[-1])
    own = tuple(f"{value:g}" for value in values)
    if set(own) <= set(names):  # numbers that are named, such as those of an earlier mapping
        return _Mapping(values, np.array([names.index(name) for name in own], dtype=np.int64), tuple(names))
    if 0 <= low and high < classes:
        return _Mapping(values, values.astype(np.int64), tuple(names))
    if low >= 1 and high == classes:  # numbered from 1
        numbered = tuple(str(number + 1) for number in range(classes))
        return _Mapping(values, values.astype(np.int64) - 1, tuple(names) or numbered)
    if len(values) == classes:
        return _Mapping(values, np.arange(classes), tuple(names) or own)
    if low < 0:
        raise DataError(
            f"labels go down to {low}, and there are {len(values)} different ones for outputs for {classes} classes; "
            "number the classes from 0"
        )
    raise _too_large(high, classes)


def _of_text(values: NDArray[Any], classes: int, names: tuple[str, ...]) -> _Mapping:
    order = names or tuple(str(value) for value in values)
    unknown = [str(value) for value in values if value not in order]
    if unknown:
        raise DataError(f"labels hold '{unknown[0]}', which is not in class_names ({', '.join(order)}); add it there")
    if len(order) > classes:
        raise DataError(
            f"there are {len(order)} different labels, but the network has outputs for {classes} classes only; "
            f"take a network with at least {len(order)} outputs, or fewer classes"
        )
    return _Mapping(values, np.array([order.index(value) for value in values], dtype=np.int64), order)


def check_labels(labels: Labels, outputs: int) -> None:
    """Refuse labels that do not number so many outputs, one per class.

    Raises: DataError.
    """
    if labels.max() >= outputs:
        raise _too_large(int(labels.max()), outputs)


def _too_large(largest: int, outputs: int) -> DataError:
    return DataError(
        f"the largest label is {largest}, but the network has outputs for the labels 0 to {outputs - 1} only "
        f"(outputs: {outputs}); number the labels from 0, or take a network with at least {largest + 1} outputs"
    )
