"""Which of two drafts with parameters is better, and which is good enough. Pure."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from secure.drafting.draft import Draft
from secure.noise import BOUND_SIGMAS, predicted_disagreement

Array = NDArray[np.float64]

#: A draft is hopeless if its error is more than this many times what is allowed, or if its share of changed classes is
#: larger than this. Later steps cannot repair it.
HOPELESS_ERROR, HOPELESS_DISAGREEMENT = 100.0, 0.25
#: A draft is comfortable below this share of changed classes and below this error relative to the outputs' rms. Among
#: comfortable drafts the smaller modulus is better, not the smaller error.
COMFORTABLE_DISAGREEMENT = 5e-5
COMFORTABLE_ERROR = 0.02
#: The most rows whose classes the search looks at.
SEARCH_ROWS = 512


def rank(draft: Draft) -> tuple[bool, float]:
    """The sort key of drafts: (not comfortable, measure). Smaller is better.

    Comfortable drafts come first, ordered by log2(QP). The others are ordered by their typical error.
    """
    comfortable = is_comfortable(draft)
    return not comfortable, draft.log2_qp if comfortable else typical_sigma(draft)


def typical_sigma(draft: Draft) -> float:
    """The error's standard deviation, as root mean square over outputs and images, in the outputs' units."""
    return float(np.sqrt(np.mean(sigmas_of(draft) ** 2)))


def disagreement(draft: Draft) -> float:
    """The share of rows whose class is expected to change, as the search estimates it.

    Errors are predicted for a few images only. Their mean square over these stands for that on every row.
    """
    outputs = draft.rows.outputs[:, :SEARCH_ROWS]
    typical = np.sqrt(np.mean(sigmas_of(draft) ** 2, axis=1, keepdims=True))
    return predicted_disagreement(outputs, np.broadcast_to(typical, outputs.shape))


def predicted_error(draft: Draft) -> float:
    """The bound of an output's error, in its units; before the assessment, as the search predicts it."""
    found = draft.assessment
    return BOUND_SIGMAS * float(sigmas_of(draft).max()) if found is None else found.error


def excess(draft: Draft) -> float:
    """The error divided by the acceptable error, or the expected share of changed classes divided by the acceptable
    share; at most 1 is acceptable."""
    if draft.allowed_error < inf:
        return predicted_error(draft) / draft.allowed_error
    found = draft.assessment
    return (disagreement(draft) if found is None else found.disagreement) / draft.allowed_disagreement


def is_right(draft: Draft) -> bool:
    """Whether a draft has parameters with an acceptable error."""
    return draft.output_sigmas is not None and excess(draft) <= 1


def is_hopeless(draft: Draft) -> bool:
    """Whether a draft is too imprecise for later steps to repair it.

    Measured plaintexts, more images and refined chains change the first estimate by a few bits only.
    """
    if draft.allowed_error < inf:
        return BOUND_SIGMAS * float(sigmas_of(draft).max()) > HOPELESS_ERROR * draft.allowed_error
    return disagreement(draft) > max(HOPELESS_DISAGREEMENT, draft.allowed_disagreement)


def is_comfortable(draft: Draft) -> bool:
    """Whether a smaller error would make no difference that anybody notices."""
    small = float(sigmas_of(draft).max()) < COMFORTABLE_ERROR * draft.evidence.value_rms[-1]
    return small and is_allowed(draft) and disagreement(draft) < COMFORTABLE_DISAGREEMENT


def is_allowed(draft: Draft) -> bool:
    """Whether the predicted error of every output, at BOUND_SIGMAS standard deviations, is at most allowed_error."""
    return BOUND_SIGMAS * float(sigmas_of(draft).max()) <= draft.allowed_error


def sigmas_of(draft: Draft) -> Array:
    """The standard deviations of the predicted errors, (outputs, images).

    Raises: PlanError for a draft without parameters.
    """
    if draft.output_sigmas is None:
        raise PlanError(draft.stages[-1].layer, "asked for its errors before its parameters were chosen")
    return draft.output_sigmas
