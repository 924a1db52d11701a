"""Which of two drafts with parameters is better, and which is good enough. Pure.

Every measure here grows with the predicted errors. So a draft of which only a lower bound of the errors is known never
ranks worse than with its exact errors.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from secure.drafting.draft import Draft
from secure.noise import BOUND_SIGMAS, predicted_disagreement

Array = NDArray[np.float64]

#: A draft with an error this many times too large, or with a larger share of changed classes than this, cannot be
#: repaired by later steps.
HOPELESS_ERROR, HOPELESS_DISAGREEMENT = 100.0, 0.25
#: Below this share of changed classes, and below this error relative to the outputs, a smaller modulus is preferred to
#: a smaller error.
COMFORTABLE_DISAGREEMENT = 5e-5
COMFORTABLE_ERROR = 0.02


def rank(draft: Draft) -> tuple[bool, float]:
    """The sort key of drafts; smaller is better.

    Comfortable drafts come first, ordered by the size of their modulus. The others are ordered by their error.
    """
    comfortable = is_comfortable(draft)
    return not comfortable, draft.log2_qp if comfortable else typical_sigma(draft)


def typical_sigma(draft: Draft) -> float:
    """Root mean square over outputs and images of the error's standard deviation."""
    return float(np.sqrt(np.mean(sigmas_of(draft) ** 2)))


def disagreement(draft: Draft) -> float:
    """Expected share of all calibration images whose class changes, from the errors of a few."""
    outputs = draft.evidence.outputs
    typical = np.sqrt(np.mean(sigmas_of(draft) ** 2, axis=1, keepdims=True))
    return predicted_disagreement(outputs, np.broadcast_to(typical, outputs.shape))


def is_hopeless(draft: Draft) -> bool:
    """Whether a draft is too imprecise for later steps to repair it.

    Measured plaintexts, more images and refined chains change the first estimate by a few bits only.
    """
    if draft.allowed_error < inf:
        return BOUND_SIGMAS * float(sigmas_of(draft).max()) > HOPELESS_ERROR * draft.allowed_error
    return disagreement(draft) > HOPELESS_DISAGREEMENT


def is_comfortable(draft: Draft) -> bool:
    """Whether a smaller error would make no difference that anybody notices."""
    small = float(sigmas_of(draft).max()) < COMFORTABLE_ERROR * draft.evidence.value_rms[-1]
    return small and is_allowed(draft) and disagreement(draft) < COMFORTABLE_DISAGREEMENT


def is_allowed(draft: Draft) -> bool:
    """Whether no output's predicted error exceeds what the caller allows."""
    return BOUND_SIGMAS * float(sigmas_of(draft).max()) <= draft.allowed_error


def sigmas_of(draft: Draft) -> Array:
    """The predicted errors, (outputs, images).

    Raises: PlanError for a draft without parameters.
    """
    if draft.output_sigmas is None:
        raise PlanError(draft.stages[-1].layer, "asked for its errors before its parameters were chosen")
    return draft.output_sigmas
