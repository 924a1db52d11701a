"""What range of inputs rows of data support: which rows are outliers, and how far beyond the others an input may lie.

All rules are ours (derived). They need the rows alone, neither labels nor a network.

Groups. Features that share one unit have one range. These are all values of a channel of an image or a series, and all
features of plain rows if one range fits them: if it is at most SHARED_UNIT times as wide as that of a typical feature
(rows of pixels, whose corners may never vary). All other features have a range of their own.

Outliers. In every group, the few rows with the most extreme values are set aside (TRIMMED_SHARE of them). A row whose
value lies more than OUTLIER_WIDTHS times the width of the rest beyond the rest is an outlier. Heavy tails stay far
below that: of log-normal values, the largest of 10,000 lies about 3 widths beyond. If more than MOST_OUTLIERS of all
rows would be outliers, the data are like this, and no row is one.

Range. It reaches beyond the extremes of the rows that are no outliers by a share of the distance from the median to the
extreme. The share follows from how many rows were seen. The largest of n exponentially distributed values lies about
e ln(n) above the least, with e the mean, and a further value lies t beyond it with probability exp(-t / e) / n. For a
chance of p that is t = e ln(1 / (n p)), or ln(1 / (n p)) / ln(n) of the distance. Real tails are heavier, so the share
is TAIL_FACTOR times that. p shares out REFUSED_SHARE over the ends of all groups. An end that many rows attain exactly
(white and black of an image, a yes or no, an age that is capped) is a bound: it gets BOUND_MARGIN of the width only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import CalibrationError

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]

#: Of how many held-out rows one may lie outside the range.
REFUSED_SHARE = 1e-3
#: How many times the headroom of exponential tails is reserved, and the limits of the headroom: shares of the distance
#: from the median to the extreme. On the five data sets of scikit-learn named in docs/security.md, the most
#: refuses fewer than one row of 1,000.
TAIL_FACTOR = 2.0
LEAST_HEADROOM, MOST_HEADROOM = 0.1, 1.75
#: An end is a bound if at least this share of the rows attains it. The margin beyond a bound is a share of the width.
BOUND_SHARE = 0.05
BOUND_MARGIN = 0.05
#: A row is an outlier if it lies more than this many widths of the rest beyond the rest.
OUTLIER_WIDTHS = 10.0
#: The share of rows that are set aside at each end before the width of the rest is measured, and the least number.
TRIMMED_SHARE, LEAST_TRIMMED = 0.01, 3
#: If more than this share of all rows lie that far away, none of them is an outlier.
MOST_OUTLIERS = 0.05
#: Of fewer rows no rest can be told from outliers.
FEWEST_ROWS = 10
#: One range serves all features if it is at most this many times as wide as that of a typical feature.
SHARED_UNIT = 2.0
#: About how many rows are enough for a median and for telling whether features share a unit, and the columns that are
#: worked on at once. Both limit time and memory.
FEW_ROWS, COLUMNS = 2000, 128


@dataclass(frozen=True)
class Outlier:
    """A row that lies far outside all others.

    row: its index. feature: flat index of its most extreme value. low, high: what the other rows reach there.
    """

    row: int
    feature: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class InputRange:
    """The inputs that are accepted, by flat feature: low and high, each (features,)."""

    low: Array
    high: Array


def find_outliers(rows: Rows) -> tuple[Outlier, ...]:
    """The outliers among rows (count, *shape), in their order. See the head of this file for the rule."""
    flat = rows.reshape(len(rows), -1)
    if len(flat) < FEWEST_ROWS:
        return ()
    groups = _groups(flat, rows.shape[1:])
    lows, highs = _extremes(flat, groups)
    low, high = _trimmed(lows, highs)
    width = _positive(high - low, highs.max(axis=0) - lows.min(axis=0))
    beyond = np.maximum(low - lows, highs - high) / width
    chosen = np.flatnonzero(beyond.max(axis=1) > OUTLIER_WIDTHS)
    if len(chosen) > max(LEAST_TRIMMED, MOST_OUTLIERS * len(flat)):
        return ()
    found = []
    for row in chosen:
        group = int(beyond[row].argmax())
        members = np.flatnonzero(groups == group)
        values = flat[row, members].astype(np.float64)
        worst = int(np.maximum(low[group] - values, values - high[group]).argmax())
        found.append(
            Outlier(int(row), int(members[worst]), float(values[worst]), float(low[group]), float(high[group]))
        )
    return tuple(found)


def without_outliers(rows: Rows) -> Rows:
    """The rows that are no outliers; the array itself if there is none."""
    found = find_outliers(rows)
    return np.delete(rows, [outlier.row for outlier in found], axis=0) if found else rows


def describe_outliers(outliers: tuple[Outlier, ...], count: int) -> str:
    """One sentence: how many of `count` rows were left out as outliers, the worst of them, and its feature."""
    worst = max(outliers, key=lambda one: max(one.low - one.value, one.value - one.high))
    found = "1 row that lies" if len(outliers) == 1 else f"{len(outliers)} rows that lie"
    return (
        f"{found} far outside the others, of {count}, left out: row {worst.row} has {worst.value:g} in feature "
        f"{worst.feature}, where the others reach from {worst.low:g} to {worst.high:g}"
    )


def input_range(rows: Rows) -> InputRange:
    """The range of inputs that rows (count, *shape) without outliers support. See the head of this file for the rule.

    A feature that is constant gets a range around its value v: as wide on both sides as the larger of |v| and the width
    of a typical feature.
    Raises: CalibrationError when no feature varies or a value is not finite.
    """
    flat = rows.reshape(len(rows), prod(rows.shape[1:]))
    if not flat.size or not np.isfinite(flat).all() or flat.min() == flat.max():
        raise CalibrationError("input", "a range needs finite values that vary; give the training data")
    groups = _groups(flat, rows.shape[1:])
    lows, highs = _extremes(flat, groups)
    low, high = lows.min(axis=0), highs.max(axis=0)
    middle = np.clip(_medians(flat, groups), low, high)
    share = headroom_share(len(flat), len(low))
    bounded_low = (lows == low).mean(axis=0) >= BOUND_SHARE
    bounded_high = (highs == high).mean(axis=0) >= BOUND_SHARE
    margin = BOUND_MARGIN * (high - low)
    accepted_low = low - np.where(bounded_low, margin, np.maximum(share * (middle - low), margin))
    accepted_high = high + np.where(bounded_high, margin, np.maximum(share * (high - middle), margin))
    constant = low == high
    reach = np.maximum(np.abs(low), _typical((high - low)[~constant]) if not constant.all() else 0.0)
    accepted_low, accepted_high = (
        np.where(constant, low - reach, accepted_low), np.where(constant, high + reach, accepted_high)
    )  # fmt: skip
    return InputRange(accepted_low[groups], accepted_high[groups])


def headroom_share(rows: int, groups: int) -> float:
    """How far the range reaches beyond the extremes of so many rows, as a share of the distance from the median."""
    expected = rows * REFUSED_SHARE / (2 * groups)  # how many of the rows may lie beyond one end of one group
    if rows < FEWEST_ROWS:
        return MOST_HEADROOM
    share = TAIL_FACTOR * log(1 / expected) / log(rows)
    return min(max(share, LEAST_HEADROOM), MOST_HEADROOM)


def _groups(flat: Rows, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The group of every flat feature, (features,), counted from 0."""
    if len(shape) > 1:
        return np.repeat(np.arange(shape[0]), prod(shape[1:]))
    own = np.arange(flat.shape[1])
    few = flat[:: max(1, len(flat) // FEW_ROWS)]
    low, high = _trimmed(*_extremes(few, own))
    varying = high > low
    if not varying.any():  # every feature is nearly always the same: their extremes tell whether one range fits
        low, high = few.min(axis=0).astype(np.float64), few.max(axis=0).astype(np.float64)
        varying = high > low
    shared = not varying.any() or high.max() - low.min() <= SHARED_UNIT * _typical((high - low)[varying])
    return np.zeros_like(own) if shared else own


def _extremes(flat: Rows, groups: NDArray[np.intp]) -> tuple[Array, Array]:
    """The least and the largest value of every row in every group, each (count, groups)."""
    count = int(groups.max()) + 1
    if count == flat.shape[1]:
        return flat.astype(np.float64), flat.astype(np.float64)
    starts = np.searchsorted(groups, np.arange(count))
    return (
        np.minimum.reduceat(flat, starts, axis=1).astype(np.float64),
        np.maximum.reduceat(flat, starts, axis=1).astype(np.float64),
    )


def _trimmed(lows: Array, highs: Array) -> tuple[Array, Array]:
    """The extremes of every group, each (groups,), without the few most extreme rows at each end."""
    count = len(lows)
    aside = min(max(int(TRIMMED_SHARE * count), LEAST_TRIMMED), count // FEWEST_ROWS)
    low, high = np.empty(lows.shape[1]), np.empty(lows.shape[1])
    for start in range(0, lows.shape[1], COLUMNS):
        own = slice(start, start + COLUMNS)
        low[own] = np.partition(lows[:, own], aside, axis=0)[aside]
        high[own] = np.partition(highs[:, own], count - 1 - aside, axis=0)[count - 1 - aside]
    return low, high


def _positive(width: Array, whole: Array) -> Array:
    """The widths; those that are 0 are replaced by that of a typical group, which gives a measure."""
    typical = [widths[widths > 0] for widths in (width, whole)]
    known = next((_typical(widths) for widths in typical if len(widths)), 1.0)
    return np.where(width > 0, width, known)


def _typical(widths: Array) -> float:
    """The median; of an even number of widths, the lower one in the middle."""
    return float(np.sort(widths)[(len(widths) - 1) // 2])


def _medians(flat: Rows, groups: NDArray[np.intp]) -> Array:
    """The median of every group, (groups,)."""
    few = flat[:: max(1, len(flat) // FEW_ROWS)]
    count = int(groups.max()) + 1
    if count == flat.shape[1]:
        return np.asarray(np.median(few, axis=0), dtype=np.float64)
    return np.array([np.median(few[:, groups == group]) for group in range(count)], dtype=np.float64)
