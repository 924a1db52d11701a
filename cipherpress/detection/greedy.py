"""GreedyNMS: keep the best box, remove what overlaps it, go on with what is left. The baseline, as compiled code.

The chain of decisions has a length that depends on the boxes, which is why it fits neither simple hardware nor
ciphertexts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cipherpress.detection.boxes import best_first, read_detections
from cipherpress.detection.kernels import greedy_chain
from compress.checks import is_number
from compress.errors import ConfigError


def greedy_nms(boxes: object, scores: object, classes: object = None, *, overlap: float = 0.5) -> Any:
    """Indices of the boxes that stay, best first.

    boxes, scores, classes: as `psrr_nms` takes them. overlap: a box goes if its area shared with a better box that
    stays, per area of both together (IoU), is larger than this. Equal scores are ordered as in `psrr_nms`.

    Returns: an int64 tensor where `boxes` is one, otherwise an array. Raises: InputShapeError, ConfigError.
    """
    if not (is_number(overlap) and 0 <= overlap <= 1):
        raise ConfigError("overlap", overlap, "a number from 0 to 1")
    found = read_detections(boxes, scores, classes)
    order = best_first(found)
    by_class = order[np.argsort(found.classes[order], kind="stable")]
    stays = greedy_chain(found.boxes, found.classes, by_class, float(overlap))
    return found.indices(order[stays[order]])
