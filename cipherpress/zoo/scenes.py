"""Scenes for object detection: several handwritten digits of several sizes and shapes in one picture. Loads no torch.

The digits come from MNIST, which is shipped; a seed decides everything else. Training scenes take digits from MNIST's
training images and held-out scenes from its test images, so no handwriting is in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cipherpress.zoo.datasets import load_data
from compress.checks import check_seed, is_whole
from compress.errors import ConfigError

#: Pixels of a scene's side.
SIDE = 64
#: Heights of digits in pixels, and widths relative to a digit's own proportions.
HEIGHTS, STRETCHES = (12.0, 32.0), (0.7, 1.5)
#: The least and the most pixels of a digit's width.
WIDTHS = (5, 34)
#: How much of a digit another may cover (the area shared per area of the smaller box).
MOST_COVERED = 0.35
#: How often another place is tried for a digit before it is left out.
TRIES = 20


@dataclass(frozen=True)
class Scenes:
    """Pictures (count, 1, SIDE, SIDE) in [0, 1] with their digits.

    boxes (digits, 4) in pixels, x1, y1, x2, y2, tight around the ink; classes (digits,), 0 to 9; scene (digits,), the
    picture that a digit is in, ascending.
    """

    images: NDArray[np.float32]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    scene: NDArray[np.int64]


def make_scenes(count: int, *, seed: int, held_out: bool = False, digits: tuple[int, int] = (1, 5)) -> Scenes:
    """`count` scenes of `digits` (least, most) digits each; the same scenes for the same arguments.

    held_out: take digits from MNIST's test images. A digit that finds no free place is left out, so crowded scenes may
    hold fewer. Raises: ConfigError.
    """
    check_seed(seed)
    if not (is_whole(count) and count >= 1):
        raise ConfigError("count", count, "a whole number of at least 1")
    if not (len(digits) == 2 and all(map(is_whole, digits)) and 0 <= digits[0] <= digits[1]):
        raise ConfigError("digits", digits, "the least and the most digits of a scene, such as (1, 5)")
    source, labels = _digits(held_out)
    rng = np.random.default_rng((seed, int(held_out)))
    images = np.zeros((count, 1, SIDE, SIDE), dtype=np.float32)
    boxes: list[NDArray[np.float64]] = []
    classes, scene = [], []
    for number in range(count):
        placed: list[NDArray[np.float64]] = []
        for _ in range(int(rng.integers(digits[0], digits[1] + 1))):
            chosen = int(rng.integers(len(source)))
            ink = _stretched(source[chosen] / np.float32(255), rng)
            place = _free_place(ink.shape, placed, rng)
            if place is None:
                continue
            x, y = place
            part = images[number, 0, y : y + ink.shape[0], x : x + ink.shape[1]]
            np.maximum(part, ink, out=part)
            placed.append(np.array([x, y, x + ink.shape[1], y + ink.shape[0]], dtype=np.float64))
            classes.append(int(labels[chosen]))
            scene.append(number)
        boxes += placed
    return Scenes(images, np.array(boxes).reshape(-1, 4), np.array(classes, dtype=np.int64), np.array(scene))


def joined_scenes(parts: Sequence[Scenes]) -> Scenes:
    """All scenes of all parts, in order."""
    firsts = np.cumsum([0, *(len(part.images) for part in parts[:-1])])
    return Scenes(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.scene + first for part, first in zip(parts, firsts, strict=True)]),
    )


@lru_cache(maxsize=2)
def _digits(held_out: bool) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """MNIST's training or test images (count, 28, 28), as bytes, and their labels."""
    data = load_data("mnist")
    images, labels = (data.x_test, data.y_test) if held_out else (data.x_train, data.y_train)
    assert labels is not None, "MNIST has labels"
    return (images[:, 0] * 255).round().astype(np.uint8), labels


def _stretched(digit: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The ink of a digit (28, 28) cut out tightly, at a random height and width."""
    lines, columns = (np.flatnonzero(digit.max(axis=axis) > 0.25) for axis in (1, 0))
    ink = digit[lines[0] : lines[-1] + 1, columns[0] : columns[-1] + 1]
    height = rng.uniform(*HEIGHTS)
    width = height * ink.shape[1] / ink.shape[0] * np.exp(rng.uniform(*np.log(STRETCHES)))
    size = int(round(height)), int(np.clip(round(width), *WIDTHS))
    return (_resample(ink.shape[0], size[0]) @ ink @ _resample(ink.shape[1], size[1]).T).astype(np.float32)


@lru_cache(maxsize=4096)
def _resample(old: int, new: int) -> NDArray[np.float64]:
    """The matrix (new, old) of linear interpolation, or of means where there are fewer new places than old ones.

    A new place reads with a triangle as wide as the larger of both spacings.
    """
    step = old / new
    centre = (np.arange(new) + 0.5) * step - 0.5
    weights = (1 - np.abs(np.arange(old) - centre[:, None]) / max(step, 1.0)).clip(min=0)
    return weights / weights.sum(axis=1, keepdims=True)


def _free_place(
    shape: tuple[int, ...], placed: list[NDArray[np.float64]], rng: np.random.Generator
) -> tuple[int, int] | None:
    """A corner (x, y) where a digit covers little of the others, or None."""
    height, width = shape
    for _ in range(TRIES):
        x, y = int(rng.integers(SIDE - width + 1)), int(rng.integers(SIDE - height + 1))
        box = np.array([x, y, x + width, y + height], dtype=np.float64)
        if all(_shared(box, other) <= MOST_COVERED for other in placed):
            return x, y
    return None


def _shared(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The area of both per area of the smaller one."""
    sides = (np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])).clip(min=0)
    return float(sides.prod() / min((first[2:] - first[:2]).prod(), (second[2:] - second[:2]).prod()))
