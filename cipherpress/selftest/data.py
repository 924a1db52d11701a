"""Seeded data sets for the selftest. Every row is drawn from one distribution, so test rows are like training rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Dataset
from compress.parts import Part

Rows = NDArray[np.float32]
Generator = np.random.Generator

#: Rows for testing; training rows are given per family.
TEST_ROWS = 400


def feature_rows(rng: Generator, rows: int, features: int, *, heavy_tails: bool = False) -> Rows:
    """(rows, features): correlated columns of different scales and offsets, as tables have.

    heavy_tails: draw from Student's t distribution with 4 degrees of freedom instead of the normal one.
    """
    hidden = max(2, features // 3)
    mixing = rng.normal(size=(hidden, features)) / np.sqrt(hidden)
    draw = rng.standard_t(4, size=(rows, hidden)) if heavy_tails else rng.normal(size=(rows, hidden))
    columns = draw @ mixing + 0.3 * rng.normal(size=(rows, features))
    scales, offsets = rng.uniform(0.5, 2.0, features), rng.normal(size=features)
    return np.asarray(columns * scales + offsets, dtype=np.float32)


def pattern_rows(rng: Generator, labels: NDArray[np.int64], shape: tuple[int, ...]) -> Rows:
    """(rows, *shape), values in [0, 1]: a smooth pattern per class, shifted by a position at random, with noise.

    shape: (channels, length) or (channels, height, width).
    """
    classes = int(labels.max()) + 1
    coarse = rng.uniform(size=(classes, shape[0], *(-(-size // 4) for size in shape[1:])))
    for axis in range(2, len(shape) + 1):
        coarse = np.repeat(coarse, 4, axis=axis)
    patterns = coarse[(slice(None), slice(None), *(slice(size) for size in shape[1:]))]
    shifts = rng.integers(-1, 2, size=len(labels))
    images = np.stack([np.roll(patterns[label], shift, axis=-1) for label, shift in zip(labels, shifts, strict=True)])
    contrast = rng.uniform(0.6, 1.0, size=(len(labels), *(1 for _ in shape)))
    return np.asarray(np.clip(images * contrast + 0.1 * rng.normal(size=images.shape), 0, 1), dtype=np.float32)


def classes_of_features(
    rng: Generator, train_rows: int, features: int, classes: int, *, heavy_tails: bool = False
) -> Dataset:
    """Rows of features; the class is the largest of `classes` random functions of them."""
    rows = feature_rows(rng, train_rows + TEST_ROWS, features, heavy_tails=heavy_tails)
    scores = _random_function(rng, rows, classes)
    return _split("features", rows, scores.argmax(axis=1), train_rows)


def classes_of_two_inputs(
    rng: Generator, train_rows: int, features: int, shape: tuple[int, ...], classes: int
) -> Dataset:
    """Rows of features with an image each; the class is the largest of random functions of both, added."""
    count = train_rows + TEST_ROWS
    rows = feature_rows(rng, count, features)
    images = pattern_rows(rng, rng.integers(8, size=count), shape).reshape(count, -1)
    scores = _random_function(rng, rows, classes) + _random_function(rng, images, classes)
    both = _split("two inputs", np.concatenate([rows, images], axis=1), scores.argmax(axis=1), train_rows)
    return replace(both, input_parts=(Part("row", (features,)), Part("image", shape)))


def one_of_two(rng: Generator, train_rows: int, features: int) -> Dataset:
    """Rows of features with labels 0 and 1."""
    rows = feature_rows(rng, train_rows + TEST_ROWS, features)
    score = _random_function(rng, rows, 1)[:, 0]
    return _split("two classes", rows, (score > np.median(score)).astype(np.int64), train_rows)


def numbers_of_features(rng: Generator, train_rows: int, features: int, outputs: int) -> Dataset:
    """Rows of features; targets are real numbers, (rows, outputs)."""
    rows = feature_rows(rng, train_rows + TEST_ROWS, features)
    targets = _random_function(rng, rows, outputs) + 0.05 * rng.normal(size=(len(rows), outputs))
    return _split("numbers", rows, (3.0 * targets + 1.0).astype(np.float32), train_rows)


def rows_to_rebuild(rng: Generator, train_rows: int, features: int) -> Dataset:
    """Rows of features whose targets are the rows themselves."""
    rows = feature_rows(rng, train_rows + TEST_ROWS, features)
    return _split("rows", rows, rows, train_rows)


def patterns(rng: Generator, train_rows: int, shape: tuple[int, ...], classes: int) -> Dataset:
    """Images or signals of `pattern_rows` with their classes."""
    labels = rng.permutation(np.arange(train_rows + TEST_ROWS) % classes).astype(np.int64)
    return _split("patterns", pattern_rows(rng, labels, shape), labels, train_rows)


def _random_function(rng: Generator, rows: Rows, outputs: int) -> NDArray[np.float64]:
    """A random function of one hidden layer, (rows, outputs), each output with variance near 1."""
    centred = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    hidden = np.tanh(centred @ rng.normal(size=(rows.shape[1], 24)) / np.sqrt(rows.shape[1]))
    values = hidden @ rng.normal(size=(24, outputs))
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


def _split(name: str, rows: Rows, targets: NDArray[np.generic], train_rows: int) -> Dataset:
    return Dataset(
        name=f"selftest {name}",
        x_train=rows[:train_rows],
        y_train=targets[:train_rows],
        x_test=rows[train_rows:],
        y_test=targets[train_rows:],
    )
