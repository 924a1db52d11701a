"""The ranges of all values in a Network, measured on calibration images. Pure numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import CalibrationError
from compress.labels import check_labels
from compress.network import Images, Network, Range
from compress.row_batches import by_batches
from compress.scores import Scoring

Labels = NDArray[np.integer[Any]]


def check_samples(layer: str, samples: Images) -> None:
    """Refuse samples (of any shape) from which no range can be measured.

    Raises: CalibrationError when they are empty, not finite, or all the same.
    """
    if samples.size == 0:
        raise CalibrationError(layer, "no calibration data; give at least one image")
    if not np.isfinite(samples).all():
        bad = int(samples.size - np.isfinite(samples).sum())
        raise CalibrationError(
            layer, f"{bad} of {samples.size} calibration values are not finite; clean the data or the weights"
        )
    if samples.min() == samples.max():
        raise CalibrationError(layer, f"every calibration value is {samples.flat[0]:g}; give data that varies")


def calibrated(network: Network, images: Images, *, batch: int = 256) -> Network:
    """The network with `ranges` measured on images (count, *input_shape).

    Raises: CalibrationError (see `check_samples`; every edge must be finite, the input must vary), InputShapeError.
    """
    images = np.asarray(images, dtype=np.float64)
    check_samples(network.nodes[0].name, images)
    found = by_batches(network, images, lambda rows: _extent(network, rows), batch=batch)
    ranges = {}
    for node in network.nodes:
        low, high, squares = (column for column in zip(*(part[node.name] for part in found), strict=True))
        rms = float(np.sqrt(sum(squares) / (node.size * len(images))))
        ranges[node.name] = Range(min(low), max(high), rms)
    return replace(network, ranges=ranges)


def _extent(network: Network, images: Images) -> dict[str, tuple[float, float, float]]:
    """Least and largest number and sum of squares of every value on a batch of images."""
    found = {}
    for name, value in network.run_all(images).items():
        if not np.isfinite(value).all():
            raise CalibrationError(
                name, "values overflow on the calibration images; convert again with a smaller learning rate"
            )
        found[name] = (float(value.min()), float(value.max()), float(np.square(value).sum()))
    return found


def network_outputs(network: Network, images: Images, *, batch: int = 1000) -> NDArray[np.float64]:
    """The outputs of all images (count, *input_shape), (count, *output shape)."""
    return np.concatenate(by_batches(network, images, network.run, batch=batch))


def network_accuracy(network: Network, images: Images, labels: Labels, *, batch: int = 1000) -> float:
    """Share of images whose largest output is their label; images (count, *input_shape), labels (count,).

    Raises: DataError for labels that are larger than the outputs allow.
    """
    check_labels(labels, network.nodes[-1].size)
    return Scoring("classes").measured(network_outputs(network, images, batch=batch), labels)
