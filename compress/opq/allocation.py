"""OPQ's allocations over layers, in closed form from the trained weights alone: pruning rates, then bits. Pure.

Pruning rates (derived): minimise sum_i omega_i N_i e(tau_i; b_i) under a global sparsity. Since de/dp = tau^2,
thresholds are tau_i = theta * a_i with a_i = omega_i^(-1/2), and a single number theta solves the budget. Bits
(derived): the whole numbers B_i that minimise sum_i omega_i n_i R_i^2 4^(-B_i) under a budget for sum_i c_i B_i. The
solution is exact; over real numbers it would be reverse water-filling, B_i = v + log2(R_i sqrt(omega_i n_i / c_i)). A
bit of layer i costs c_i = n_i where it is stored, and c_i = 1 where it is a bit of a plaintext's scale (see
`Objective`). The weighting omega is ours; the paper's is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from compress.errors import BudgetError, ConfigError
from compress.opq.options import Objective, Weighting

Array = NDArray[np.float64]

#: a_i = omega_i^(-1/2) from b_i and N_i (a constant factor does not matter).
_THRESHOLD_SCALES: Mapping[str, Callable[[float, int], float]] = MappingProxyType(
    {
        "raw": lambda b, size: 1.0,
        "relative": lambda b, size: b,
        "relative_layer": lambda b, size: b * float(np.sqrt(size)),
        "mean": lambda b, size: float(np.sqrt(size)),
        "curvature": lambda b, size: 1.0,  # omega is in the scores that b is fitted to, weight by weight
    }
)
BISECTIONS = 200
#: Partial allocations kept per layer; of more, those with the best bound. Networks of dozens of layers need far fewer.
MOST_PARTIAL_ALLOCATIONS = 20_000


def allocate_rates(
    scales: Sequence[float],
    sizes: Sequence[int],
    sparsity: float,
    *,
    weighting: Weighting = "raw",
    caps: Sequence[float] | None = None,
) -> list[float]:
    """Pruning rate p_i of every layer, with sum N_i p_i = sparsity * sum N_i.

    scales: Laplace b_i. sizes: N_i. caps: largest rate of each layer (1 - 1/N_i when not given). Rates above their cap
    are clamped, and theta is the one that still meets the budget (the Karush-Kuhn-Tucker solution).
    Raises: ConfigError; BudgetError when the caps do not allow the sparsity.
    """
    if not 0 <= sparsity < 1:
        raise ConfigError("sparsity", sparsity, "a share in [0, 1)")
    count = np.asarray(sizes, dtype=np.float64)
    limit = np.asarray(caps if caps is not None else 1 - 1 / count, dtype=np.float64)
    budget = sparsity * count.sum()
    reachable = float((count * limit).sum() / count.sum())
    if budget > (count * limit).sum() * (1 + 1e-12):
        raise BudgetError(
            f"sparsity: {sparsity:g} asked, the layers' caps allow {reachable:.4f}; ask for less or raise the caps"
        )
    thresholds = threshold_scales(scales, sizes, weighting)
    if sparsity == 0:
        return [0.0] * len(count)
    b = np.asarray(scales, dtype=np.float64)

    def rates(theta: float) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            free = -np.expm1(-theta * thresholds / b)
        return np.minimum(limit, np.where(b > 0, free, limit))

    low, high = 0.0, 1.0
    while count @ rates(high) < budget and high < 1e300:
        high *= 2
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if count @ rates(middle) < budget else (low, middle)
    return [float(p) for p in rates(high)]


def threshold_scales(scales: Sequence[float], sizes: Sequence[int], weighting: Weighting) -> Array:
    """a_i = omega_i^(-1/2) of every layer: thresholds are theta * a_i, steps delta * a_i.

    Raises: ConfigError for a weighting that does not exist.
    """
    if weighting not in _THRESHOLD_SCALES:
        raise ConfigError("weighting", weighting, f"one of {', '.join(get_args(Weighting))}")
    return np.array([_THRESHOLD_SCALES[weighting](b, n) for b, n in zip(scales, sizes, strict=True)], dtype=np.float64)


def allocate_bits(
    ranges: Sequence[float],
    counts: Sequence[int],
    mean_bits: float,
    *,
    low: int = 2,
    high: int = 8,
    objective: Objective = "storage",
) -> list[int]:
    """Whole bits of every layer with the least error of the surviving weights, at most mean_bits * sum c_i in all.

    ranges: R_i sqrt(omega_i), the largest surviving magnitude under the weighting. counts: survivors n_i. The objective
    sets what a bit costs, c_i = n_i or 1, and so whether mean_bits is the mean over weights or over layers. The error
    is that of fine quantization, sum n_i R_i^2 4^(-B_i). Exact (derived): a knapsack by dynamic programming over the
    layers. A partial allocation is dropped when another is better in both bits and error, or when its Lagrangian bound
    shows that it cannot beat the greedy allocation.
    Raises: ConfigError; BudgetError when mean_bits is below `low`.
    """
    if objective not in get_args(Objective):
        raise ConfigError("objective", objective, f"one of {', '.join(get_args(Objective))}")
    if not 2 <= low <= high:
        raise ConfigError("bits", (low, high), "2 <= lowest <= highest (one bit with a zero level would erase a layer)")
    if mean_bits < low:
        raise BudgetError(
            f"bits: {mean_bits:g} per {'weight' if objective == 'storage' else 'layer'} asked, every layer needs "
            f"at least {low}; ask for {low} or more"
        )
    choices = np.arange(low, high + 1)
    costs = np.asarray(counts if objective == "storage" else np.ones(len(counts)), dtype=np.float64)
    spent = costs[:, None] * choices
    energy = np.maximum(np.asarray(ranges, dtype=np.float64), 1e-150) ** 2 * np.asarray(counts, dtype=np.float64)
    errors = energy[:, None] * 4.0**-choices
    budget = float(np.floor(mean_bits * costs.sum() + 1e-9))
    price = _price_of_a_bit(spent, errors, budget)
    priced = np.argmin(errors + price * spent, axis=1)
    known = _spend(priced, spent, errors, budget)
    rest = np.append(np.cumsum((errors + price * spent).min(axis=1)[::-1])[::-1], 0.0)  # of the layers that follow
    least = np.append(np.cumsum(spent[::-1, 0])[::-1], 0.0)
    limit = _total(errors, known) * (1 + 1e-12)

    used, error, picks = np.zeros(1), np.zeros(1), np.zeros((1, 0), dtype=np.int64)
    for layer in range(len(counts)):
        every_used = (used[:, None] + spent[layer]).ravel()
        every_error = (error[:, None] + errors[layer]).ravel()
        bound = every_error + rest[layer + 1] - price * (budget - every_used)
        open_ = np.flatnonzero((every_used + least[layer + 1] <= budget) & (bound <= limit))
        open_ = open_[np.lexsort((every_error[open_], every_used[open_]))]
        lowest_before = np.append(np.inf, np.minimum.accumulate(every_error[open_])[:-1])
        kept = open_[every_error[open_] < lowest_before]
        kept = kept[np.argsort(bound[kept], kind="stable")[:MOST_PARTIAL_ALLOCATIONS]]
        used, error = every_used[kept], every_error[kept]
        picks = np.column_stack([picks[kept // len(choices)], kept % len(choices)])
    best = picks[int(np.argmin(error))] if len(error) else known
    return [int(choices[index]) for index in best]


def _price_of_a_bit(spent: Array, errors: Array, budget: float) -> float:
    """The Lagrange multiplier at which the layers' own best choices just fit the budget."""
    low, high = -1100.0, 1100.0  # log2, beyond every error a float can hold
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        fits = _total(spent, np.argmin(errors + 2.0**middle * spent, axis=1)) <= budget if middle < 1023 else True
        low, high = (low, middle) if fits else (middle, high)
    return float(2.0 ** min(high, 1023))


def _spend(choice: NDArray[np.int64], spent: Array, errors: Array, budget: float) -> NDArray[np.int64]:
    """A choice within the budget, improved bit by bit.

    Each bit goes to the layer whose error drops most per cost, among those whose next bit still fits.
    """
    choice = choice.copy()
    while True:
        left = budget - _total(spent, choice)
        steps = [i for i in range(len(choice)) if choice[i] + 1 < spent.shape[1]]
        drops = {
            i: (errors[i, choice[i]] - errors[i, choice[i] + 1]) / cost
            for i in steps
            if 0 < (cost := spent[i, choice[i] + 1] - spent[i, choice[i]]) <= left
        }
        if not drops:
            return choice
        choice[max(drops, key=drops.__getitem__)] += 1


def _total(table: Array, choice: NDArray[np.int64]) -> float:
    return float(table[np.arange(len(choice)), choice].sum())
