"""A small classification: whether the first four of twelve numbers outweigh the next four."""

import numpy as np

from compress.dataset import Dataset


def sums() -> Dataset:
    """400 rows to train on and 200 to test on."""
    x = np.random.default_rng(0).uniform(0, 1, (600, 12)).astype(np.float32)
    y = (x[:, :4].sum(axis=1) < x[:, 4:8].sum(axis=1)).astype(np.int64)
    return Dataset(x_train=x[:400], y_train=y[:400], x_test=x[400:], y_test=y[400:], name="sums")
