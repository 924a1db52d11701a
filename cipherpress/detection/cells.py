"""One score per cell of a grid: what an encrypted selection compares. Derived.

Boxes of all classes share one grid. A box belongs to the cell of its centre; the best box of a cell takes part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from cipherpress.detection.anchors import Anchors
from cipherpress.detection.boxes import best_first, read_detections
from cipherpress.detection.recovery import places
from compress.checks import is_number
from compress.errors import ConfigError

#: What the least score becomes, so that an occupied cell is told from an empty one, which holds 0.
FLOOR = 0.0625
#: The score that becomes 1. Scores nearer to 1 become more than that.
MOST = 1 - 1e-6


@dataclass(frozen=True)
class CellScores:
    """levels (lines, columns): 0 for an empty cell, otherwise FLOOR for the least score and 1 for MOST, linear in the
    logit of the score. boxes (lines, columns): the index of the best box of each cell, -1 where there is none."""

    levels: NDArray[np.float64]
    boxes: NDArray[np.int64]


def cell_scores(boxes: object, scores: object, anchors: Anchors, least_score: float) -> CellScores:
    """The cells of boxes (n, 4) with scores (n,) from `least_score` to 1.

    Differences of logits tell scores near 1 apart, where those of scores would be too small to compare encrypted. The
    map is public and takes every score by itself. Raises: InputShapeError; ConfigError for a `least_score` that is not
    between 0 and MOST, and for scores below it or above 1.
    """
    if not (is_number(least_score) and 0 < least_score < MOST):
        raise ConfigError("least_score", least_score, f"a number above 0 and below {MOST}")
    found = read_detections(boxes, scores)
    if len(found.scores) and not least_score <= found.scores.min() <= found.scores.max() <= 1:
        raise ConfigError("scores", float(found.scores.min()), f"numbers from least_score, {least_score}, to 1")
    columns, lines = anchors.cells
    levels, best = np.zeros((lines, columns)), np.full((lines, columns), -1, dtype=np.int64)
    at = places(found.boxes, anchors)
    worst_first = best_first(found)[::-1]  # of several boxes of a cell the last one written stays
    best[at.row[worst_first], at.column[worst_first]] = worst_first
    low, high = logit(np.array([least_score, MOST]))
    occupied = best >= 0
    own = logit(found.scores[best[occupied]].clip(max=1 - 1e-12))
    levels[occupied] = FLOOR + (1 - FLOOR) * (own - low) / (high - low)
    return CellScores(levels, best)
