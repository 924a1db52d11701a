"""What a plan promises of encrypted answers, as checks. Noise is drawn anew in every run, so no test may ask for more.

A plan bounds the error of an output, and the share of classes that encryption changes (`predicted_disagreement` of its
report). Where the best output in clear leads by more than twice the bound, the class is settled: no errors within the
bound change it. Elsewhere the luck of the noise decides. A check also fails where it would show nothing: where most
classes may change, or where answers equal those in clear to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from secure.bundle.batch_specs import BatchBundle
from secure.bundle.specs import Bundle

Array = NDArray[np.float64]
#: A number of changed classes is refused where the promised share makes it more unlikely than this.
UNLIKELY = 1e-9
#: How far the plan in clear may be from the network, of the largest output.
ROUNDING = 1e-4


def bounds_of(bundle: Bundle | BatchBundle, clear: ArrayLike) -> Array:
    """The bound on the errors of each answer, (rows,). clear: the outputs, (rows, ...)."""
    rows = _rows(clear)
    if isinstance(bundle, BatchBundle):
        return np.full(len(rows), bundle.client.predicted_logit_error)
    return bundle.client.error_bound(rows)


def settled(clear: ArrayLike, bounds: ArrayLike) -> NDArray[np.bool_]:
    """Whether no errors within the bounds change the class, (rows,). bounds: of all rows, or (rows,).

    Derived: errors of at most the bound in two outputs move their difference by at most twice the bound.
    """
    ordered = np.sort(_rows(clear), axis=1)
    return ordered[:, -1] - ordered[:, -2] > 2 * np.asarray(bounds)


def may_change(clear: ArrayLike, bounds: ArrayLike, promised: float = 1.0) -> int:
    """The most rows whose class may change: those that are not settled, and not far more than the promised share."""
    rows = _rows(clear)
    return min(int(np.sum(~settled(rows, bounds))), int(binom.isf(UNLIKELY, len(rows), promised)))


def check_answers(bundle: Bundle | BatchBundle, answers: ArrayLike, clear: ArrayLike) -> None:
    """Every answer was encrypted, so it is not to the bit the one in clear, and its errors are within its bound.

    A class can then change only in a row that is not settled.
    """
    found, wanted = _rows(answers), _rows(clear)
    assert found.shape == wanted.shape and np.isfinite(found).all()
    errors, bounds = np.abs(found - wanted).max(axis=1), bounds_of(bundle, found)
    assert (errors > 0).all() and (errors <= bounds).all(), f"errors {errors}, bounds {bounds}"


def check_agreement(agreement: float, clear: ArrayLike, bounds: ArrayLike, promised: float = 1.0) -> None:
    """At most as many classes changed as may change, and that is at most half of them."""
    rows = len(_rows(clear))
    changed, most = round((1 - agreement) * rows), may_change(clear, bounds, promised)
    assert most <= rows / 2, f"{most} of {rows} classes may change: too many to show anything"
    assert changed <= most, f"{changed} of {rows} classes changed, at most {most} may"


def check_round_trip(bundle: Bundle | BatchBundle, found: dict[str, Any], clear: ArrayLike) -> None:
    """The classes, errors and scores that a round trip reports are promised by the bundle, and fit together.

    found: the result of `round_trip`, or of infer. clear: the network's outputs for the same rows, (rows, ...).
    """
    rows, named = _rows(clear), np.asarray(found["classes"])
    bounds, error = bounds_of(bundle, rows), found["max_logit_error"]
    assert found["predicted_logit_error"] == bundle.client.predicted_logit_error
    assert found["images"] == len(rows) and named.shape == (len(rows),)
    assert 0 < error <= bounds.max(), f"error {error}, bound {bounds.max()}"
    behind = rows.max(axis=1) - rows[np.arange(len(rows)), named]
    assert (behind <= 2 * error + ROUNDING * np.abs(rows).max()).all(), f"{behind} behind, by errors up to {error}"
    check_agreement(found["agreement"], rows, bounds, bundle.report.get("predicted_disagreement", 1.0))
    if "accuracy_encrypted" in found:
        lost = abs(found["accuracy_encrypted"] - found["accuracy_compressed"])
        assert lost <= 1 - found["agreement"] + 1e-12


def _rows(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    return array.reshape(len(array), -1)
