"""The same selection pair by pair: a box stays if it beats everybody in its neighbourhood.

Two boxes are neighbours if they share a window in any pool with any shift. This form needs no table of windows: where
the neighbourhoods are public, one comparison per pair decides, which is what an encrypted selection computes.
Derived; equal to the pooling form with order "parallel".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cipherpress.detection.anchors import Anchors
from cipherpress.detection.boxes import best_first, ranks, read_detections
from cipherpress.detection.pools import POOLS, check_pyramid, windows
from cipherpress.detection.psrr import check_anchors
from cipherpress.detection.recovery import Places, places


def neighbours(
    found: Places, anchors: Anchors, pools: Sequence[str] = POOLS, shifts: str = "three"
) -> NDArray[np.bool_]:
    """Whether two places share a window, (n, n), each with itself too; memory grows with n^2.

    Raises: ConfigError.
    """
    met = np.zeros((len(found.channel), len(found.channel)), dtype=np.bool_)
    for row in windows(anchors, tuple(pools), shifts).of(found).T:
        met |= row[:, None] == row[None]
    return met


def pairwise_nms(
    boxes: object,
    scores: object,
    classes: object = None,
    *,
    anchors: Anchors,
    pools: Sequence[str] = POOLS,
    shifts: str = "three",
) -> Any:
    """As `psrr_nms`, computed pair by pair in time and memory n^2.

    Raises: InputShapeError, ConfigError.
    """
    check_anchors(anchors)
    check_pyramid(pools, shifts)
    found = read_detections(boxes, scores, classes)
    rank = ranks(found)
    met = neighbours(places(found.boxes, anchors), anchors, pools, shifts)
    met &= found.classes[:, None] == found.classes[None]
    beaten = np.any(met & (rank[:, None] < rank[None]), axis=1)
    order = best_first(found)
    return found.indices(order[np.logical_not(beaten[order])])
