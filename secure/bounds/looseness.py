"""Bounds that lie far beyond what the rows show: when to warn of them, and when they say nothing of use. Pure."""

from __future__ import annotations

import numpy as np

from secure.bounds.tail import CONFIDENCE, EXCEEDING, upper_mean

#: A bound that is more than this many times the largest error of the rows rests on little data.
FAR_BEYOND = 5.0
#: Beyond this many times it says nothing of use: rare inputs make the network itself explode.
USELESS = 20.0
#: What can be done about a useless bound beside giving more data.
ACCEPTING = "or accept it with --accept-loose-bound (Limits(accept_loose_bound=True))"


def bound_warnings(error: float, largest: float, rows: int, extrapolated_from: int) -> list[str]:
    """What the rows cannot show of a bound of errors; empty for one that is close to them.

    error: the bound. largest: the largest error of any of so many rows. extrapolated_from: rows that the bound comes
    from, drawn ones or the same.
    """
    if error <= FAR_BEYOND * largest:
        return []
    shown = upper_mean(np.zeros(rows))
    return [
        f"bound: the errors of {rows} rows are at most {largest:.3g}, which shows ({CONFIDENCE:.0%} confidence) that "
        f"at most {shown:.2%} of inputs have larger ones; the bound of {error:.3g} for {EXCEEDING:.2%} of inputs is "
        f"extrapolated from {extrapolated_from} rows; errors of this network grow fast with its inputs: give more "
        "rows, or a normalization between its layers, for a bound that is closer"
    ]


def says_nothing(error: float, largest: float) -> bool:
    """Whether a bound is so far beyond the largest error of the rows that it is of no use."""
    return error > USELESS * largest
