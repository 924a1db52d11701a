"""Dataset: the one class for data sets. Progress: the type of every callback that reports progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.checks import check_seed
from compress.errors import DataError

#: Called with the name of a step and with the share of this step that is done, from 0 to 1.
Progress = Callable[[str, float], None]

#: Labels are class numbers. A larger number is an identifier or comes from a damaged file.
LARGEST_LABEL = 65535


def part_of(progress: Progress | None, start: float, share: float) -> Progress | None:
    """A callback for a part of the work that begins at `start` and is `share` of the whole; None without a callback."""
    if progress is None:
        return None
    report = progress
    return lambda label, fraction: report(label, start + share * fraction)


@dataclass(frozen=True)
class Dataset:
    """Training and test images with their labels, checked when they are put together.

    x_train, x_test: shape (count, channels, height, width), (count, channels, length) or (count, features); kept as
    float32. Bytes (uint8) are scaled to [0, 1], all other numbers stay as they are. y_train, y_test: class numbers from
    0, shape (count,); kept as int64. Lists and arrays of other types are converted; an array that has the right type
    already is not copied.
    Raises: DataError naming the field.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise DataError(f"name is {self.name!r}; it must be a string")
        for part in ("train", "test"):
            x, y = _array(f"x_{part}", getattr(self, f"x_{part}")), _array(f"y_{part}", getattr(self, f"y_{part}"))
            if x.ndim not in (2, 3, 4) or y.ndim != 1 or len(x) != len(y) or not len(x):
                raise DataError(
                    f"x_{part} has shape {x.shape} and y_{part} {y.shape}; x must be (count, channels, height, width), "
                    "(count, channels, length) or (count, features) with one label each"
                )
            object.__setattr__(self, f"y_{part}", _labels(f"y_{part}", y))
            object.__setattr__(self, f"x_{part}", _images(f"x_{part}", x))
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise DataError(
                f"x_train holds images of shape {self.x_train.shape[1:]}, x_test of {self.x_test.shape[1:]}; "
                "give both the same shape"
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return tuple(self.x_train.shape[1:])

    @property
    def classes(self) -> int:
        """How many classes there are: the largest label plus one."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    def calibration(self, count: int = 512, seed: int = 0) -> NDArray[np.float32]:
        """`count` training images drawn without replacement; the same images for the same seed.

        Raises: ConfigError for a seed below 0.
        """
        check_seed(seed)
        chosen = np.random.default_rng(seed).permutation(len(self.x_train))[:count]
        return self.x_train[np.sort(chosen)]

    def check_outputs(self, shape: tuple[int, ...]) -> None:
        """Refuse a network whose outputs, of this shape, are fewer than the labels need.

        Outputs that are not one row of scores are left to the caller.
        Raises: DataError.
        """
        if len(shape) == 1:
            try:
                check_labels(max(self.y_train.max(), self.y_test.max()), shape[0])
            except DataError as error:
                raise DataError(f"data '{self.name}': {error}") from None


def check_labels(largest: Any, outputs: int) -> None:
    """Refuse labels up to `largest` for a network with so many outputs, one per label.

    Raises: DataError.
    """
    if largest >= outputs:
        raise DataError(
            f"the largest label is {largest}, but the network has outputs for the labels 0 to {outputs - 1} only "
            f"(outputs: {outputs}); number the labels from 0, or take a network with at least {largest + 1} outputs"
        )


def _array(field: str, values: Any) -> NDArray[Any]:
    """Raises: DataError for what is no array, such as rows of different lengths."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{field} cannot be read as an array ({error}); give one array of numbers") from error


def _labels(field: str, y: NDArray[Any]) -> NDArray[np.int64]:
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{field} must hold integers from 0 to {LARGEST_LABEL}, it is {y.dtype}")
    for found in (y.min(), y.max()):
        if not 0 <= found <= LARGEST_LABEL:
            raise DataError(
                f"{field} must hold integers from 0 to {LARGEST_LABEL}, it has {found}; number the classes from 0"
            )
    return np.ascontiguousarray(y, dtype=np.int64)


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
