"""Held-out images are training images that nothing is trained on, and none of them is a test image."""

import numpy as np
import pytest

from compress.dataset import Dataset
from compress.errors import DataError
from compress.training.held_out import hold_out


def data(count):
    x = np.arange(count, dtype=np.float32)[:, None]
    return Dataset("numbers", x, np.arange(count), x[:3] - 100, np.arange(3))


def test_training_images_are_split_and_keep_their_labels():
    held = hold_out(data(100), images=10, seed=3)
    assert len(held.x_test) == 10 and len(held.x_train) == 90
    together = np.concatenate([held.x_train, held.x_test])[:, 0]
    assert sorted(together) == list(range(100))
    assert np.array_equal(held.x_test[:, 0], held.y_test) and np.array_equal(held.x_train[:, 0], held.y_train)
    assert held.name == "numbers (held-out training images)"
    assert set(held.calibration(20, seed=1)[:, 0]) <= set(held.x_train[:, 0])


def test_the_same_seed_gives_the_same_split():
    first, again, other = (hold_out(data(100), images=10, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_test, other.x_test)


def test_at_most_a_quarter_is_held_out_and_too_few_images_are_refused():
    assert len(hold_out(data(20), images=5000).x_test) == 5
    with pytest.raises(DataError, match="3 training images are too few to set some aside"):
        hold_out(data(3))
