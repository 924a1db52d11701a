"""More inputs that are drawn like given rows: rows of a distribution that is fitted to few of them. Pure.

Sixty rows do not show what one input in 10,000 is like. A distribution that is fitted to them does, as far as it is
true of the data. Here it is a t copula with generalized Pareto tails (McNeil and Nyfeler 2001 for the tails, Demarta
and McNeil 2005 for the copula; the estimates from few rows are ours):

    axes      the features, or where these are clearly correlated their principal components
    body      of every axis: the quantiles of the rows, with straight lines between them
    tails     of every axis: above (below) the largest (smallest) tenth of the rows, a generalized Pareto distribution.
              All axes share its shape, in which they count by their variance; its standard error is added. Its scales
              are drawn towards their mean as far as chance explains that they differ (empirical Bayes)
    together  by normal scores: their correlations, shrunk towards none as far as chance explains them (Ledoit and Wolf
              2004), and a common factor of a row as large as the squares of a row's scores vary together
"""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

Array = NDArray[np.float64]

#: The share of the rows that make either tail of an axis, and their least number.
TAIL_SHARE, LEAST_TAIL = 0.1, 5
#: Limits of the shape of tails: that of a uniform distribution, and one whose variance is just finite.
LEAST_SHAPE, MOST_SHAPE = -1.0, 0.5
#: How many standard errors are added to the estimated shape.
SHAPE_STANDARD_ERRORS = 1.0
#: The fewest degrees of freedom of the copula.
LEAST_FREEDOM = 4.5
#: Where the features count as fewer independent ones than this share of them, rows are described by their principal
#: components.
MOST_RANK = 0.5


def synthetic_rows(rows: Array, count: int, rng: np.random.Generator) -> Array:
    """`count` rows that are drawn like the given ones, (count, features). rows: (rows, features), at least two.

    Features that do not vary keep their value.
    """
    made = np.repeat(rows[:1], count, axis=0)
    varying = rows.max(axis=0) > rows.min(axis=0)
    if not varying.any():
        return made
    mean, size = rows[:, varying].mean(axis=0), rows[:, varying].std(axis=0)
    standard = (rows[:, varying] - mean) / size
    axes, own = np.eye(len(mean)), standard
    if _rank(standard) < MOST_RANK * len(mean):
        axes = np.linalg.svd(standard, full_matrices=False)[2]
        own = standard @ axes.T
    made[:, varying] = mean + size * (_at_levels(own, _levels(own, count, rng)) @ axes)
    return made


def _rank(standard: Array) -> float:
    """The effective number of independent features, without the correlations that chance explains. standard: with mean
    0 and variance 1."""
    features = standard.shape[1]
    beside = float(np.sum((standard.T @ standard / len(standard)) ** 2)) - features
    return features**2 / (features + (1 - _chance(standard)) * max(beside, 0.0))


def _chance(standard: Array) -> float:
    """The share of the squared correlations that chance explains (Ledoit and Wolf 2004). standard: with mean 0 and
    variance 1."""
    count, features = standard.shape
    squares = float(np.sum((standard.T @ standard / count) ** 2))
    noise = (float(np.sum(np.sum(standard**2, axis=1) ** 2)) / count - squares) / count
    beside = squares - features  # of what lies beside the diagonal
    return 1.0 if beside <= 0 else min(max(noise / beside, 0.0), 1.0)


def _levels(own: Array, count: int, rng: np.random.Generator) -> Array:
    """Levels in (0, 1) of `count` new rows, (count, axes). own: coordinates of the rows, (rows, axes)."""
    rows, axes = own.shape
    scores = ndtri((rankdata(own, axis=0) - 0.5) / rows)
    scores /= np.maximum(scores.std(axis=0), 1e-12)
    chance = _chance(scores)
    correlation = (1 - chance) * (scores.T @ scores / rows) + chance * np.eye(axes)
    freedom = _freedom(scores, correlation)
    drawn = rng.normal(size=(count, axes)) @ np.linalg.cholesky(correlation + 1e-9 * np.eye(axes)).T
    if freedom < inf:
        drawn /= np.sqrt(rng.chisquare(freedom, size=(count, 1)))
    places = np.argsort(drawn, axis=0)
    np.put_along_axis(drawn, places, (np.arange(count)[:, None] + 0.5) / count, axis=0)
    return drawn


def _freedom(scores: Array, correlation: Array) -> float:
    """Degrees of freedom of the copula, from how the squares of a row's scores vary together.

    scores: normal scores of the rows, (rows, axes). Squares of two normal numbers of correlation r have the covariance
    2 r^2. A copula of t rows adds about (1 - r^2) 2 / (freedom - 1 / 2), whatever the number of axes (simulated, within
    a tenth; scores are of t rows, so their own variance tells nothing).
    """
    squares, beside = scores**2, float(np.sum(correlation**2)) - len(correlation)
    independent = len(correlation) ** 2 - len(correlation) - beside
    together = float(np.var(squares.sum(axis=1)) - squares.var(axis=0).sum()) - 2 * beside
    if together <= 0 or independent < 1:
        return inf
    return max(2 * independent / together + 0.5, LEAST_FREEDOM)


def _at_levels(own: Array, levels: Array) -> Array:
    """The values of every axis at these levels, (count, axes)."""
    rows, axes = own.shape
    ordered = np.sort(own, axis=0)
    tail = max(1, min(max(LEAST_TAIL, int(TAIL_SHARE * rows)), rows // 2 - 1))
    above, below = ordered[-tail:] - ordered[-tail - 1], ordered[tail] - ordered[:tail]
    variance = own.var(axis=0)
    independent = float(variance.sum() ** 2 / np.sum(np.cov(own.T, bias=True) ** 2))
    shapes = _shapes(np.concatenate([above, below], axis=1), np.tile(variance, 2), 2 * independent).reshape(2, -1)
    upper, lower = (
        (1 - shape) * _shrunk(excesses.mean(axis=0), own.std(axis=0), tail)
        for shape, excesses in zip(shapes, (above, below), strict=True)
    )
    edge, places = (tail + 0.5) / rows, (np.arange(rows) + 0.5) / rows
    values = np.empty_like(levels)
    for axis in range(axes):
        level = levels[:, axis]
        value = np.interp(level, places, ordered[:, axis])
        high, low = level > 1 - edge, level < edge
        value[high] = ordered[-tail - 1, axis] + upper[axis] * _pareto(edge / (1 - level[high]), shapes[0, axis])
        value[low] = ordered[tail, axis] - lower[axis] * _pareto(edge / level[low], shapes[1, axis])
        values[:, axis] = value
    return values


def _shapes(excesses: Array, weights: Array, independent: float) -> Array:
    """The shape of every tail, with SHAPE_STANDARD_ERRORS, (tails,).

    excesses: (values of a tail, tails). weights: of the tails. independent: as how many tails they count.
    """
    count, known = len(excesses), excesses.max(axis=0) > 0
    shapes = np.zeros(excesses.shape[1])
    if count < 2 or not known.any():
        return shapes
    own = np.clip(_zhang_stephens(excesses[:, known]), LEAST_SHAPE, MOST_SHAPE)
    weight = weights[known] / weights[known].sum()
    typical = float(weight @ own)
    each = (1 + np.maximum(own, -0.5)) ** 2 / count  # the variance of an estimate, that of the most likely shape
    chance = float(weight @ each)
    real = max(0.0, float(weight @ (own - typical) ** 2) - chance)
    trust = real / (real + chance)
    errors = np.sqrt(trust**2 * each + (1 - trust) ** 2 * chance / max(independent, 1.0))
    shapes[known] = trust * own + (1 - trust) * typical + SHAPE_STANDARD_ERRORS * errors
    return np.minimum(shapes, MOST_SHAPE)


def _zhang_stephens(excesses: Array) -> Array:
    """Estimates of the shapes of generalized Pareto distributions, (tails,). excesses: (values, tails), some above 0.

    The mean of the likely values of shape / scale, weighed by their profile likelihood (Zhang and Stephens 2009).
    """
    ordered = np.maximum(np.sort(excesses, axis=0), 1e-12 * excesses.max(axis=0))
    count = len(ordered)
    places = 20 + int(np.sqrt(count))
    quartile = ordered[int(count / 4 + 0.5) - 1 if count > 1 else 0]
    steps = np.sqrt(places / (np.arange(1, places + 1) - 0.5))
    found = np.empty(ordered.shape[1])
    for tail in range(ordered.shape[1]):
        thetas = 1 / ordered[-1, tail] + (1 - steps) / (3 * quartile[tail])
        shapes = np.mean(np.log1p(-thetas[:, None] * ordered[:, tail]), axis=1)
        likely = count * (np.log(-thetas / shapes) - shapes - 1)
        weight = np.exp(likely - likely.max())
        theta = float(weight @ thetas / weight.sum())
        found[tail] = np.mean(np.log1p(-theta * ordered[:, tail]))
    return found


def _shrunk(means: Array, sizes: Array, count: int) -> Array:
    """Mean excesses of all axes, drawn towards their mean in units of the axes' sizes. count: of values behind each.

    A mean of 0 stands: no value lies beyond a bound that many values attain.
    """
    known = (means > 0) & (sizes > 0)
    if known.sum() < 2:
        return means
    relative = means[known] / sizes[known]
    weights = sizes[known] ** 2
    typical = float(np.average(relative, weights=weights))
    chance = float(np.average(relative**2, weights=weights)) / (count + 1)
    real = max(0.0, float(np.average((relative - typical) ** 2, weights=weights)) - chance)
    weight = real / (real + chance)
    result = np.zeros_like(means)
    result[known] = sizes[known] * (weight * relative + (1 - weight) * typical)
    return result


def _pareto(times: Array, shape: float) -> Array:
    """The excess, in units of the scale, that is exceeded `times` times less often than the start of the tail."""
    return np.log(times) if abs(shape) < 1e-6 else np.expm1(shape * np.log(times)) / shape
