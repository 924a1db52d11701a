"""PSRR-MaxpoolNMS and MaxpoolNMS: a box stays if it is the best of every window that it lies in.

Source: MaxpoolNMS (CVPR 2019); PSRR-MaxpoolNMS (CVPR 2021, arXiv 2105.12990). The order of the pools and the set of
shifts are our reading: "parallel" lets every box suppress, also one that another box suppressed; "sequential" gives
each pool with each shift the boxes that the ones before it left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cipherpress.detection.anchors import Anchors
from cipherpress.detection.boxes import Detections, best_first, ranks, read_detections
from cipherpress.detection.kernels import best_in_turn, best_of_windows
from cipherpress.detection.pools import POOLS, check_pyramid, windows
from cipherpress.detection.recovery import places
from compress.errors import ConfigError

ORDERS = ("parallel", "sequential")


def psrr_nms(
    boxes: object,
    scores: object,
    classes: object = None,
    *,
    anchors: Anchors,
    pools: Sequence[str] = POOLS,
    shifts: str = "three",
    order: str = "parallel",
) -> Any:
    """Indices of the boxes that stay, best first.

    boxes: (n, 4), x1, y1, x2, y2 in pixels. scores: (n,). classes: (n,) whole numbers from 0; boxes of different
    classes never meet. Give every image of a batch classes of its own to treat a batch in one call. pools: some of
    "single", "cross-ratio", "cross-scale", "cross-all". shifts: "none", "diagonal" or "three" (along x, y and both).
    Of equal scores the box with the smaller x1, y1, x2, y2 wins, so the kept boxes do not depend on their order.

    Returns: an int64 tensor where `boxes` is one, otherwise an array. Raises: InputShapeError, ConfigError.
    """
    found = read_detections(boxes, scores, classes)
    return _kept(found, found.boxes, anchors, pools, shifts, order)


def maxpool_nms(
    boxes: object,
    scores: object,
    classes: object = None,
    *,
    anchors: Anchors,
    sources: object = None,
    pools: Sequence[str] = ("single",),
) -> Any:
    """As `psrr_nms` without shifts and without recovery: windows are those of the anchors that boxes came from.

    sources: the anchor of every box, (n, 4). None takes the boxes themselves, which is recovery after all.
    Raises: InputShapeError, ConfigError.
    """
    found = read_detections(boxes, scores, classes)
    origin = found if sources is None else read_detections(sources, found.scores)
    return _kept(found, origin.boxes, anchors, pools, "none", "parallel")


def _kept(
    found: Detections,
    origin: NDArray[np.float64],
    anchors: Anchors,
    pools: Sequence[str],
    shifts: str,
    order: str,
) -> Any:
    check_anchors(anchors)
    check_pyramid(pools, shifts)
    if order not in ORDERS:
        raise ConfigError("order", order, ", ".join(ORDERS))
    pyramid = windows(anchors, tuple(pools), shifts)
    column, line = pyramid.keys(places(origin, anchors))
    by_class = np.argsort(found.classes, kind="stable")
    tables = pyramid.by_column, pyramid.by_line, pyramid.count, column, line, by_class, found.classes
    if order == "sequential":
        stays = best_in_turn(*tables, ranks(found))
    else:
        stays, tied = best_of_windows(*tables, found.scores)
        if tied:
            stays, _ = best_of_windows(*tables, ranks(found))
    kept = stays.nonzero()[0]
    few = Detections(found.boxes[kept], found.scores[kept], found.classes[kept])
    return found.indices(kept[best_first(few)])


def check_anchors(anchors: object) -> None:
    """Raises: ConfigError for anything but Anchors."""
    if not isinstance(anchors, Anchors):
        raise ConfigError("anchors", type(anchors).__name__, "Anchors, such as Anchors(image=(640, 480))")
