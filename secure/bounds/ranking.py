"""Which of two drafts with parameters is better, and how good is good enough. Pure.

Everything here grows with the predicted errors: a draft whose errors are only bounded from below ranks no worse than it really does.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from secure.drafting.draft import Draft
from secure.noise import BOUND_SIGMAS, predicted_disagreement

Array = NDArray[np.float64]

#: A draft whose error is this many times too large, or that changes more classes than this, is out of reach of everything that follows.
HOPELESS_ERROR, HOPELESS_DISAGREEMENT = 100.0, 0.25
#: Below this share of changed classes a smaller modulus is preferred to a smaller error.
COMFORTABLE_DISAGREEMENT = 5e-5
COMFORTABLE_ERROR = 0.02


def rank(draft: Draft) -> tuple[bool, float]:
    """Smaller is better: of drafts whose error nobody would notice the smallest modulus, else the smallest error."""
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
    """Errors of real plaintexts, of more images and of refined chains lie within a few bits of the first estimate."""
    if draft.allowed_error < inf:
        return BOUND_SIGMAS * float(sigmas_of(draft).max()) > HOPELESS_ERROR * draft.allowed_error
    return disagreement(draft) > HOPELESS_DISAGREEMENT


def is_comfortable(draft: Draft) -> bool:
    """True when a smaller error would not be noticed."""
    small = float(sigmas_of(draft).max()) < COMFORTABLE_ERROR * draft.evidence.value_rms[-1]
    return small and is_allowed(draft) and disagreement(draft) < COMFORTABLE_DISAGREEMENT


def is_allowed(draft: Draft) -> bool:
    """True when no output's predicted error exceeds what the caller allows."""
    return BOUND_SIGMAS * float(sigmas_of(draft).max()) <= draft.allowed_error


def sigmas_of(draft: Draft) -> Array:
    """The predicted errors, (outputs, images).

    Raises: PlanError for a draft without parameters.
    """
    if draft.output_sigmas is None:
        raise PlanError(draft.stages[-1].layer, "asked for its errors before its parameters were chosen")
    return draft.output_sigmas
