"""How far the answers of a network may be off, as its task wants it. Pure.

The answers of a classifier with several outputs are classes, which may change for a share of the inputs. All other
answers are numbers; their largest acceptable error is a share of how far they vary.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from compress.scores import Scoring
from secure.limits import Limits

Array = NDArray[np.float64]

#: The largest acceptable error of a number, at six standard deviations, relative to the output's standard deviation;
#: of a score of one of two classes relative to its root mean square.
ACCEPTABLE_RELATIVE_ERROR = 0.05

#: An output that varies this much less than all outputs together need not be more precise than this share of them.
LEAST_RELATIVE_SIZE = 0.01


def names_a_class(scoring: Scoring, outputs: int) -> bool:
    """Whether an answer is the class of the largest output."""
    return scoring.task == "classes" and outputs > 1


def allowed_error(outputs: Array, limits: Limits, scoring: Scoring) -> float:
    """The largest acceptable error of any output, in its units, at six standard deviations.

    outputs: (outputs, inputs), on calibration inputs. Infinite if only the share of changed classes is limited. Where
    outputs are several numbers the smallest one decides, unless all have one unit.
    """
    if limits.max_error is not None:
        return limits.max_error
    if names_a_class(scoring, len(outputs)):
        return inf
    numbers = scoring.task in ("regression", "none")  # R2 measures them by how far they lie from their mean
    centred = outputs - outputs.mean(axis=1, keepdims=True) if numbers else outputs - scoring.threshold
    each = np.sqrt(np.mean(centred**2, axis=1))
    overall = float(np.sqrt(np.mean(each**2)))
    size = overall if scoring.pooled else max(float(each.min()), LEAST_RELATIVE_SIZE * overall)
    return ACCEPTABLE_RELATIVE_ERROR * size if size > 0 else inf
