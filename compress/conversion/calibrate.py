"""The ranges of all values in a Network, measured on calibration images. Pure numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import CalibrationError
from compress.labels import check_labels
from compress.network import Images, Network, Range
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
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    squares: dict[str, float] = {}
    for start in range(0, len(images), batch):
        for name, value in network.run_all(images[start : start + batch]).items():
            if not np.isfinite(value).all():
                raise CalibrationError(
                    name, "values overflow on the calibration images; convert again with a smaller learning rate"
                )
            low[name] = min(low.get(name, np.inf), float(value.min()))
            high[name] = max(high.get(name, -np.inf), float(value.max()))
            squares[name] = squares.get(name, 0.0) + float(np.square(value).sum())
    sizes = {node.name: node.size * len(images) for node in network.nodes}
    ranges = {name: Range(low[name], high[name], float(np.sqrt(squares[name] / sizes[name]))) for name in low}
    return replace(network, ranges=ranges)


def network_outputs(network: Network, images: Images, *, batch: int = 1000) -> NDArray[np.float64]:
    """The outputs of all images (count, *input_shape), (count, *output shape)."""
    return np.concatenate([network.run(images[start : start + batch]) for start in range(0, len(images), batch)])


def network_accuracy(network: Network, images: Images, labels: Labels, *, batch: int = 1000) -> float:
    """Share of images whose largest output is their label; images (count, *input_shape), labels (count,).

    Raises: DataError for labels that are larger than the outputs allow.
    """
    check_labels(labels, network.nodes[-1].size)
    return Scoring("classes").measured(network_outputs(network, images, batch=batch), labels)
