"""The rows of inputs that drafts are judged on, and what to say about promises that rest on few of them."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import CalibrationError, InputShapeError, PrecisionError
from compress.robust import InputRange
from secure.bounds.assessment import Assessment
from secure.bounds.looseness import ACCEPTING, bound_warnings, says_nothing
from secure.bounds.propagate import watched_outputs
from secure.bounds.reach import Reach, reach
from secure.bounds.severity import hardest_inputs
from secure.bounds.tail import CONFIDENCE, upper_mean
from secure.drafting.draft import Draft, Evidence, Rows
from secure.growth import grows_beyond
from secure.passes.choose_parameters import SEARCH_IMAGES
from secure.stages.stages import Stage, run_stages

Array = NDArray[np.float64]
Images = NDArray[np.floating[Any]]

#: The most products of numbers that running the rows through the network may take, the fewest rows that it is given
#: all the same, and how many rows are run at the same time.
MOST_PRODUCTS, FEWEST_ROWS, CHUNK_ROWS = 1 << 31, 1000, 128


def judged_rows(
    stages: tuple[Stage, ...], calibration: Array, held_out: Images | None, accepted: InputRange, evidence: Evidence
) -> Rows:
    """The held-out rows that a client may send, or the calibration rows where there are none; in random order.

    calibration, held_out: (rows, *shape). evidence: of the calibration rows. Held-out rows outside the accepted range
    are left out, since a client refuses them. The hardest inputs are drawn like both together: what is learnt from
    inputs are their distribution alone, and of that all rows tell.
    Raises: InputShapeError and CalibrationError for held-out rows of another shape or with infinite values.
    """
    rows: Images = calibration.reshape(len(calibration), -1)
    given, shape = 0 if held_out is None else len(held_out), calibration.shape[1:]
    if held_out is not None and given:
        if held_out.shape[1:] != shape:
            raise InputShapeError(f"held-out rows: shape {held_out.shape[1:]}; the network takes {shape}")
        own = np.asarray(held_out).reshape(given, -1)
        if not np.isfinite(own).all():
            raise CalibrationError("input", "held-out rows hold values that are not finite; clean the data")
        own = own[((own >= accepted.low) & (own <= accepted.high)).all(axis=1)]
        given = len(own)
        rows = own if given else rows
    most = max(FEWEST_ROWS, MOST_PRODUCTS // sum(matrix.nnz for stage in stages for matrix in stage.maps.values()))
    inputs = rows[np.random.default_rng(0).permutation(len(rows))[:most]].astype(np.float64)
    outputs = [
        run_stages(stages, inputs[start : start + CHUNK_ROWS])[1][-1] for start in range(0, len(inputs), CHUNK_ROWS)
    ]
    known = np.concatenate([calibration.reshape(len(calibration), -1), rows]) if given else rows
    answers = np.concatenate(outputs, axis=1)
    beyond = grows_beyond(np.abs(np.concatenate([answers, evidence.outputs], axis=1)).max(axis=0))
    hardest = hardest_inputs(stages, known.astype(np.float64), accepted, beyond)
    return Rows(inputs, answers, held_out=given > 0, hardest=hardest, grows_beyond=beyond)


def search_reach(stages: tuple[Stage, ...], evidence: Evidence) -> Reach:
    """The reach of errors on the images that the search looks at, for all drafts of a network."""
    return reach(stages, evidence.subset(SEARCH_IMAGES), watched_outputs(stages[-1].size))


def promise_warnings(draft: Draft) -> list[str]:
    """What the data cannot support of the promises of an assessed draft; empty if they support all."""
    found, rows = draft.assessment, draft.rows
    if found is None:
        return []
    warnings = _bound_warnings(found, rows)
    if draft.exploding:
        warnings.append(
            f"range: {draft.exploding} inputs that are stretched to the ends of the accepted range make the network "
            "itself explode from layer to layer; the modulus is not chosen for them and their answers mean nothing; "
            "train with a penalty on large values, or accept a narrower range"
        )
    if found.disagreement_limit == 0:
        return warnings
    supported = upper_mean(np.zeros(found.class_rows))
    if supported > draft.allowed_disagreement and draft.allowed_error == inf:
        warnings.append(
            f"classes: encryption may change up to {found.disagreement_limit:.2%} of them ({CONFIDENCE:.0%} "
            f"confidence), where {draft.allowed_disagreement:.2%} was asked; {found.class_rows} rows cannot show less "
            f"than {supported:.2%}; give more test rows for a promise that is closer"
        )
    if not rows.held_out:
        warnings.append(
            f"classes: their margins come from {found.class_rows} calibration rows, on which a network is surer than "
            "on others if it was trained on them; give test rows for a promise that holds for new inputs"
        )
    return warnings


def check_bound(draft: Draft) -> None:
    """Refuse an assessed draft whose bound says nothing of use. Its warning says why.

    Raises: PrecisionError.
    """
    found = draft.assessment
    if found is not None and says_nothing(found.error, found.largest):
        (said,) = _bound_warnings(found, draft.rows)
        raise PrecisionError(draft.stages[-1].layer, f"{said}, {ACCEPTING}")


def _bound_warnings(found: Assessment, rows: Rows) -> list[str]:
    """What the rows cannot show of the bound of errors."""
    count = found.rows if rows.hardest is None else rows.hardest.rows
    return bound_warnings(found.error, found.largest, found.rows, count)
