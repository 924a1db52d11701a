"""Relationship recovery: the cell and the channel that a box has now, wherever its anchor was.

A detector moves and stretches its anchors. Pooling compares boxes by place and size, so every box is put into the cell
of its own centre and the channel of its own scale and ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from cipherpress.detection.anchors import Anchors
from cipherpress.detection.boxes import areas
from cipherpress.detection.kernels import cells_of, channels_of


@dataclass(frozen=True)
class Places:
    """Channel, column and row of every box, each (n,) in int64."""

    channel: NDArray[np.int64]
    column: NDArray[np.int64]
    row: NDArray[np.int64]


def places(boxes: NDArray[np.float64], anchors: Anchors) -> Places:
    """Where boxes (n, 4) belong. A centre outside the image counts to the nearest cell."""
    column, row = cells_of(boxes, anchors.stride, *anchors.cells)
    return Places(_channel(boxes, anchors), column, row)


def _channel(boxes: NDArray[np.float64], anchors: Anchors) -> NDArray[np.int64]:
    if anchors.channel_rule == "log":
        return channels_of(boxes, _middles(anchors.areas), _middles(anchors.ratios))
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    ratios = (height / width.clip(min=1e-9)).clip(max=1e9)
    apart = (areas(boxes)[:, None] - np.array(anchors.areas)) ** 2
    unlike = (ratios[:, None] - np.array(anchors.ratios)) ** 2
    return (apart[:, :, None] + unlike[:, None]).reshape(len(boxes), -1).argmin(axis=1)


def _middles(values: tuple[float, ...]) -> NDArray[np.float64]:
    """Between neighbours, where both are equally far as logarithms."""
    return np.array([sqrt(low * high) for low, high in zip(values, values[1:], strict=False)])
