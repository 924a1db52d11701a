"""A method at a wanted compression rate: the smallest sparsity at which the model, every bit counted, is that small."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from torch import nn

from compress.account.accounting import account
from compress.checks import is_number
from compress.errors import BudgetError, ConfigError
from compress.model.compressed import CompressedModel
from compress.opq.opq import opq

Method = Callable[..., CompressedModel]
Counted = Callable[[CompressedModel], float]

#: The share of weights that stays falls by this factor from one tried sparsity to the next, so that a step moves the
#: rate by about a percent however sparse the model is.
KEPT_FACTOR = 0.99
#: The sparsest that is tried keeps a thousandth of the weights.
MOST_STEPS = 688


def opq_at_rate(model: nn.Module | CompressedModel, target_rate: float, **options: Any) -> CompressedModel:
    """`opq` at the smallest sparsity that reaches `target_rate`. options: those of `opq` except sparsity.

    Raises: what `opq` raises; ConfigError; BudgetError naming the largest rate these options reach.
    """
    return at_rate(opq, model, target_rate, **options)


def compression_rate(model: CompressedModel) -> float:
    """How many times smaller the model is, as `compress.account.accounting.account` counts it."""
    return float(account(model)["compression_rate"])


def at_rate(
    method: Method,
    model: nn.Module | CompressedModel,
    target_rate: float,
    *,
    counted: Counted = compression_rate,
    **options: Any,
) -> CompressedModel:
    """`method(model, sparsity=..., **options)` at the smallest sparsity that reaches `target_rate`.

    counted: the rate of a model. It grows with the sparsity, so halving finds the sparsity in about ten trials.
    Raises: what the method raises; ConfigError; BudgetError naming the largest rate these options reach.
    """
    if not (is_number(target_rate) and target_rate > 0):
        raise ConfigError("target_rate", target_rate, "a number above 0 (32-bit weights have rate 1)")
    best, reachable, sparsity = _least_sparse(method, model, target_rate, counted, options)
    if best is None:
        raise BudgetError(
            f"target-rate: {target_rate:g} asked, these options reach {reachable:.1f} at sparsity {sparsity}; ask for "
            "less or for fewer bits"
        )
    return best


def highest_rate(
    method: Method, model: nn.Module | CompressedModel, *, counted: Counted = compression_rate, **options: Any
) -> tuple[float, float]:
    """(rate, sparsity) of the sparsest model that these options allow.

    Raises: what the method raises.
    """
    return _least_sparse(method, model, inf, counted, options)[1:]


def _least_sparse(
    method: Method, model: nn.Module | CompressedModel, target_rate: float, counted: Counted, options: dict[str, Any]
) -> tuple[CompressedModel | None, float, float]:
    """The least sparse model that has the rate, with its rate and sparsity.

    Where none has it: None, with the rate and sparsity of the sparsest model that the layers' caps allow.
    """
    best, high = None, MOST_STEPS + 1
    low, rate = -1, 0.0
    while high - low > 1:
        middle = (low + high) // 2
        try:
            trial = method(model, sparsity=_sparsity(middle), **options)
        except BudgetError:  # sparser than the caps allow
            if middle == 0:
                raise
            high = middle
            continue
        reached = counted(trial)
        if reached >= target_rate:
            best, high = (trial, reached), middle
        else:
            low, rate = middle, reached
    return (None, rate, _sparsity(max(0, low))) if best is None else (best[0], best[1], _sparsity(high))


def _sparsity(steps: int) -> float:
    return round(1 - KEPT_FACTOR**steps, 6)
