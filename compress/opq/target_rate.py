"""A method at a wanted compression rate: the smallest sparsity at which the model, every bit counted, is that small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from compress.account.accounting import account
from compress.checks import is_number
from compress.errors import BudgetError, ConfigError
from compress.model.compressed import CompressedModel
from compress.opq.opq import opq

Method = Callable[..., CompressedModel]

#: Sparsity is searched in steps of this size: finer ones move the rate by less than a percent.
SPARSITY_STEP = 0.005
HIGHEST_SPARSITY = 0.985


def opq_at_rate(model: nn.Module | CompressedModel, target_rate: float, **options: Any) -> CompressedModel:
    """`opq` at the smallest sparsity that reaches `target_rate`. options: those of `opq` except sparsity.

    Raises: what `opq` raises; ConfigError; BudgetError naming the largest rate these options reach.
    """
    return at_rate(opq, model, target_rate, **options)


def at_rate(method: Method, model: nn.Module | CompressedModel, target_rate: float, **options: Any) -> CompressedModel:
    """`method(model, sparsity=..., **options)` at the smallest sparsity that reaches `target_rate`.

    The rate is `compression_rate` of `compress.account.accounting.account`.

    The rate grows with the sparsity, so halving finds it in about eight trials.
    Raises: what the method raises; ConfigError; BudgetError naming the largest rate these options reach.
    """
    if not (is_number(target_rate) and target_rate > 0):
        raise ConfigError("target_rate", target_rate, "a number above 0 (32-bit weights have rate 1)")
    low, high = -1, round(HIGHEST_SPARSITY / SPARSITY_STEP)
    best = _most_sparse(method, model, high, options)
    high = round(float(best.history[-1]["options"]["sparsity"]) / SPARSITY_STEP)
    reachable = float(account(best)["compression_rate"])
    if reachable < target_rate:
        raise BudgetError(
            f"target-rate: {target_rate:g} asked, these options reach {reachable:.1f} at sparsity "
            f"{_sparsity(high)}; ask for less or for fewer bits"
        )
    while high - low > 1:
        middle = (low + high) // 2
        trial = method(model, sparsity=_sparsity(middle), **options)
        if account(trial)["compression_rate"] >= target_rate:
            best, high = trial, middle
        else:
            low = middle
    return best


def _most_sparse(
    method: Method, model: nn.Module | CompressedModel, steps: int, options: dict[str, Any]
) -> CompressedModel:
    """The model at the largest sparsity that the layers' caps allow."""
    low, high, found = 0, steps + 1, method(model, sparsity=0.0, **options)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            found, low = method(model, sparsity=_sparsity(middle), **options), middle
        except BudgetError:
            high = middle
    return found


def _sparsity(steps: int) -> float:
    return round(steps * SPARSITY_STEP, 3)
