"""OPQ's allocations over layers, in closed form from the trained weights alone: pruning rates, then bits. Pure.

Pruning (derived): minimise sum_i omega_i N_i e(tau_i; b_i) under a global sparsity. de/dp = tau^2, so thresholds are
tau_i = theta * a_i with a_i = omega_i^(-1/2), and one scalar theta solves the budget. Bits (derived): reverse
water-filling, B_i = v + log2(R_i sqrt(omega_i)), then whole bits, never above the budget. The weighting omega is ours;
the paper's is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from compress.errors import BudgetError, ConfigError

Array = NDArray[np.float64]
Weighting = Literal["raw", "relative", "relative_layer", "mean"]

#: a_i = omega_i^(-1/2) from b_i and N_i (a constant factor does not matter).
_THRESHOLD_SCALES: Mapping[str, Callable[[float, int], float]] = MappingProxyType(
    {
        "raw": lambda b, size: 1.0,
        "relative": lambda b, size: b,
        "relative_layer": lambda b, size: b * float(np.sqrt(size)),
        "mean": lambda b, size: float(np.sqrt(size)),
    }
)
BISECTIONS = 200


def allocate_rates(
    scales: Sequence[float],
    sizes: Sequence[int],
    sparsity: float,
    *,
    weighting: Weighting = "raw",
    caps: Sequence[float] | None = None,
) -> list[float]:
    """Pruning rate p_i of every layer; sum N_i p_i = sparsity * sum N_i.

    scales: Laplace b_i. caps: largest rate of each layer (1 - 1/N_i when not given). With caps the Karush-Kuhn-Tucker
    solution is the clamped p_i at the theta that still meets the budget.
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


def real_bits(ranges: Sequence[float], counts: Sequence[int], mean_bits: float, low: int, high: int) -> list[float]:
    """Reverse water-filling: B_i = clip(v + log2 R_i, low, high) with sum n_i B_i = mean_bits * sum n_i."""
    logs = np.log2(np.asarray(ranges, dtype=np.float64))
    count = np.asarray(counts, dtype=np.float64)
    budget = mean_bits * count.sum()
    bottom, top = low - logs.max() - 1, high - logs.min() + 1
    for _ in range(BISECTIONS):
        middle = (bottom + top) / 2
        below = count @ np.clip(middle + logs, low, high) < budget
        bottom, top = (middle, top) if below else (bottom, middle)
    return [float(bits) for bits in np.clip(top + logs, low, high)]


def allocate_bits(
    ranges: Sequence[float], counts: Sequence[int], mean_bits: float, *, low: int = 2, high: int = 8
) -> list[int]:
    """Whole bits for every layer, at most mean_bits * sum n_i in all.

    ranges: R_i sqrt(omega_i), the largest surviving magnitude under the weighting; counts: survivors n_i.
    The real-valued optimum floored, the rest spent greedily, then exchanged between layers while that lowers the error.
    Raises: ConfigError; BudgetError when mean_bits is below `low`.
    """
    if not 2 <= low <= high:
        raise ConfigError("bits", (low, high), "2 <= lowest <= highest (one bit with a zero level would erase a layer)")
    if mean_bits < low:
        raise BudgetError(
            f"bits: {mean_bits:g} a weight asked, every layer needs at least {low}; ask for {low} or more"
        )
    energy = [max(float(r), 1e-150) ** 2 for r in ranges]
    floors = [
        int(np.floor(b + 1e-9)) for b in real_bits(np.sqrt(energy).tolist(), counts, min(mean_bits, high), low, high)
    ]
    budget = int(np.floor(mean_bits * sum(counts) + 1e-9))
    bits = _spend(floors, energy, counts, budget, high)
    while (better := _exchanged(bits, energy, counts, budget, low, high)) is not None:
        bits = better
    return bits


def _spend(bits: list[int], energy: list[float], counts: Sequence[int], budget: int, high: int) -> list[int]:
    """Bit by bit to the layer whose error per stored bit drops most, energy * 4^(-B), among those that still fit the
    budget."""
    bits = list(bits)
    while True:
        left = budget - _stored(bits, counts)
        fitting = [i for i, n in enumerate(counts) if 0 < n <= left and bits[i] < high]
        if not fitting:
            return bits
        bits[max(fitting, key=lambda i: (energy[i] * 4.0 ** -bits[i], -i))] += 1


def _exchanged(
    bits: list[int], energy: list[float], counts: Sequence[int], budget: int, low: int, high: int
) -> list[int] | None:
    """A better allocation in which one layer too large for what is left got a bit that others paid; None when there is
    none.

    Without it a network whose weights lie mostly in one layer would leave nearly a bit a weight of the budget unspent.
    """
    error = _error(bits, energy, counts)
    for grown in (i for i, n in enumerate(counts) if n > 0 and bits[i] < high):
        trial = list(bits)
        trial[grown] += 1
        while _stored(trial, counts) > budget:
            payers = [i for i, n in enumerate(counts) if i != grown and n > 0 and trial[i] > low]
            if not payers:
                break
            trial[min(payers, key=lambda i: (energy[i] * 4.0 ** -trial[i], i))] -= 1
        else:
            trial = _spend(trial, energy, counts, budget, high)
            if _error(trial, energy, counts) < error * (1 - 1e-9):
                return trial
    return None


def _stored(bits: Sequence[int], counts: Sequence[int]) -> int:
    return sum(n * b for n, b in zip(counts, bits, strict=True))


def _error(bits: Sequence[int], energy: Sequence[float], counts: Sequence[int]) -> float:
    """High-rate error of the survivors, sum n_i R_i^2 4^(-B_i) / 3."""
    return sum(n * e * 4.0**-b for n, e, b in zip(counts, energy, bits, strict=True)) / 3
