"""Dataset: the one class for data sets. Progress: the type of every callback that reports progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.checks import check_seed
from compress.errors import DataError
from compress.labels import check_text, fitted_labels, read_labels
from compress.parts import Part
from compress.robust import Outlier, find_outliers
from compress.tasks import Task, check_task

#: Called with the name of a step and with the share of this step that is done, from 0 to 1.
Progress = Callable[[str, float], None]


def part_of(progress: Progress | None, start: float, share: float) -> Progress | None:
    """A callback for a part of the work that begins at `start` and is `share` of the whole; None without a callback."""
    if progress is None:
        return None
    report = progress
    return lambda label, fraction: report(label, start + share * fraction)


@dataclass(frozen=True)
class Dataset:
    """Training and test rows with their labels, checked when they are put together.

    x_train, x_test: shape (count, channels, height, width), (count, channels, length) or (count, features); kept as
    float32. Bytes (uint8) are scaled to [0, 1], all other numbers stay as they are. y_train, y_test: one label per row,
    or both None. Integers and booleans are kept as int64, other numbers as float64 (several per row, or an image per
    row, where the network's outputs are), text as text. Lists and arrays of other types are converted; an array that
    has the right type already is not copied. task: what the labels are for, one of `compress.scores.TASKS`; None
    derives it from labels and outputs, as `compress.labels` says. class_names: of the classes, in the order of their
    numbers; text is mapped to numbers in this order. fitted_to: the shape of outputs that the labels are fitted to, set
    by `for_outputs`. input_parts: for networks of several inputs, whose flat values lie
    side by side in rows (count, features). output_parts: the same of a network with several outputs, set by
    `compress.graph.joined`.
    Raises: DataError naming the field; ConfigError for an unknown task.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[Any] | None
    x_test: NDArray[np.float32]
    y_test: NDArray[Any] | None
    task: Task | None = None
    class_names: tuple[str, ...] = ()
    input_parts: tuple[Part, ...] = ()
    output_parts: tuple[Part, ...] = ()
    fitted_to: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise DataError(f"name is {self.name!r}; it must be a string")
        check_task(self.task)
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))
        check_text("class_names", self.class_names)
        if (self.y_train is None) != (self.y_test is None):
            absent = "train" if self.y_train is None else "test"
            raise DataError(f"y_{absent} is None and the other labels are not; give labels for both, or for neither")
        for part in ("train", "test"):
            self._read(part)
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise DataError(
                f"x_train holds images of shape {self.x_train.shape[1:]}, x_test of {self.x_test.shape[1:]}; "
                "give both the same shape"
            )
        if self.y_train is not None and self.y_test is not None:
            kinds = [(y.dtype.kind == "U", y.shape[1:]) for y in (self.y_train, self.y_test)]
            if kinds[0] != kinds[1]:
                raise DataError(
                    f"y_train holds {self.y_train.dtype} of shape {self.y_train.shape[1:]} per row, "
                    f"y_test {self.y_test.dtype} of {self.y_test.shape[1:]}; give both the same kind of labels"
                )

    def _read(self, part: str) -> None:
        x, y = read_array(f"x_{part}", getattr(self, f"x_{part}")), getattr(self, f"y_{part}")
        labels = None if y is None else read_array(f"y_{part}", y)
        if x.ndim not in (2, 3, 4) or not len(x) or (labels is not None and (not labels.ndim or len(x) != len(labels))):
            raise DataError(
                f"x_{part} has shape {x.shape} and y_{part} {None if labels is None else labels.shape}; x must be "
                "(count, channels, height, width), (count, channels, length) or (count, features) with one label each"
            )
        object.__setattr__(self, f"y_{part}", None if labels is None else read_labels(f"y_{part}", labels))
        object.__setattr__(self, f"x_{part}", _images(f"x_{part}", x))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return tuple(self.x_train.shape[1:])

    @property
    def classes(self) -> int:
        """How many classes there are: the largest class number plus one.

        Raises: DataError for labels that are no class numbers.
        """
        if self.y_train is None or self.y_test is None or self.y_train.dtype != np.int64 or self.y_train.ndim != 1:
            raise DataError(f"data '{self.name}': its labels are no class numbers; call for_outputs first")
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    def calibration(self, count: int = 512, seed: int = 0) -> NDArray[np.float32]:
        """`count` training images drawn without replacement; the same images for the same seed. None is an outlier.

        Raises: ConfigError for a seed below 0.
        """
        check_seed(seed)
        usable = self._rows_without_outliers()
        chosen = np.random.default_rng(seed).permutation(len(usable))[:count]
        return self.x_train[usable[np.sort(chosen)]]

    @cached_property
    def outliers(self) -> tuple[Outlier, ...]:
        """The training rows that lie far outside all others, by the rule of `compress.robust`."""
        return find_outliers(self.x_train)

    def without_outliers(self) -> Dataset:
        """The data without the training rows that are outliers; the same object if there are none."""
        if not self.outliers:
            return self
        usable = self._rows_without_outliers()
        return replace(
            self, x_train=self.x_train[usable], y_train=None if self.y_train is None else self.y_train[usable]
        )

    def _rows_without_outliers(self) -> NDArray[np.intp]:
        """The indices of the training rows that are no outliers."""
        return np.delete(np.arange(len(self.x_train)), [outlier.row for outlier in self.outliers])

    def for_outputs(self, shape: tuple[int, ...]) -> Dataset:
        """The same rows with labels and task as a network whose outputs have this shape per row needs them.

        Classes are then numbered from 0, and the wanted numbers of a regression have the outputs' shape. Labels that
        fit already stay the same arrays. See `compress.labels` for the rules.
        Raises: DataError for labels that do not fit.
        """
        if self.fitted_to == shape:
            return self
        try:
            fitted = fitted_labels(self.y_train, self.y_test, shape, task=self.task, names=self.class_names)
        except DataError as error:
            raise DataError(f"data '{self.name}': {error}") from None
        return replace(
            self,
            y_train=fitted.train,
            y_test=fitted.test,
            task=fitted.task,
            class_names=fitted.names,
            fitted_to=tuple(shape),
        )


def read_array(field: str, values: Any) -> NDArray[Any]:
    """Values as an array. Raises: DataError for what is no array, such as rows of different lengths."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{field} cannot be read as an array ({error}); give one array of numbers") from error


def _images(field: str, x: NDArray[Any]) -> NDArray[np.float32]:
    if x.dtype.kind not in "fuib":
        raise DataError(f"{field} is {x.dtype}; it must hold real numbers (floats, integers or bytes)")
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite, and is refused below
        images = np.ascontiguousarray(x, dtype=np.float32)
    if x.dtype == np.uint8:
        return images / np.float32(255)
    if x.dtype.kind == "f" and not np.isfinite(images).all():
        raise DataError(f"{field} holds values that are not finite as float32; clean the data")
    return images
