"""Dataset: the one class for data sets. Progress: the type of every callback that reports progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Called with what is done at the moment and with the share of the work that is done, from 0 to 1.
Progress = Callable[[str, float], None]


def part_of(progress: Progress | None, start: float, share: float) -> Progress | None:
    """A callback for a part of the work that begins at `start` and is `share` of the whole; None without a callback."""
    if progress is None:
        return None
    report = progress
    return lambda label, fraction: report(label, start + share * fraction)


@dataclass(frozen=True)
class Dataset:
    """Training and test images with their labels.

    x_train, x_test: float32, shape (count, channels, height, width) or (count, features). y_train, y_test: int64 class
    numbers, shape (count,).
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return tuple(self.x_train.shape[1:])

    @property
    def classes(self) -> int:
        """How many classes there are: the largest label plus one."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    def calibration(self, count: int = 512, seed: int = 0) -> NDArray[np.float32]:
        """`count` training images drawn without replacement; the same images for the same seed."""
        chosen = np.random.default_rng(seed).permutation(len(self.x_train))[:count]
        return self.x_train[np.sort(chosen)]
