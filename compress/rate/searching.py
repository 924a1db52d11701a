"""compress_for: a network at a wanted rate, or as small as a loss allows, with the search in its history."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from compress.checks import check_seed
from compress.dataset import Dataset, Progress
from compress.errors import BudgetError, ConfigError, ModelError
from compress.gathering import as_dataset
from compress.graph.joined import joined
from compress.model.compressed import CompressedModel, module_of
from compress.opq.target_rate import compression_rate
from compress.rate.recipe import RateRecipe
from compress.rate.search import search_rates
from compress.rate.stages import Stages, outputs
from compress.rate.target import RateFound, RateTarget, RateTrial
from compress.training.held_out import hold_out
from compress.training.objective import settled_for


def compress_for(
    model: nn.Module | CompressedModel,
    data: object,
    target: RateTarget,
    recipe: RateRecipe | None = None,
    *,
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> CompressedModel:
    """Search for the most accurate network at a rate, or the smallest that loses no more than so many points.

    OPQ in shots weighted by curvature, fine-tuning, dead units cleared, biases and activations on grids. data: what
    `as_dataset` takes. Networks are compared on training rows that are held out; test rows are read once, when the
    search is over. recipe: every part of it; its defaults follow the rate and the number of rows. augment: distort
    training images. The last entry of the history ("rate-search") has the target, every network that was trained, one
    shot at the same rate, and the scores of the given and of the new network on the test rows. A network with a layer
    that has no form in integers keeps its biases and activations as they are, and the entry says so (`unfinished`).
    Raises: ModelError, ConfigError; BudgetError that says what was reached, where no network meets the target; what
    `opq`, `weight_curvature` and `finetune` raise.
    """
    check_seed(seed)
    _check_given(model, target, recipe)
    recipe = recipe or RateRecipe()
    start, rows = joined(model, as_dataset(data))
    rows, objective = settled_for(module_of(start), rows, trust_labels=isinstance(start, CompressedModel))
    held = hold_out(rows.without_outliers(), images=recipe.held_out, seed=seed)
    stages = Stages(start, held, objective, recipe, rate=target.rate, augment=augment, seed=seed, progress=progress)
    if target.rate is not None:
        stages.check(target.rate)
    found = search_rates(stages, target, max_trials=recipe.max_trials)
    best = found.best
    if best is None:
        raise BudgetError(f"{found.verdict}; ask for less, or give more epochs, shots or trials")
    given, after = (
        objective.score(outputs(network, rows.x_test), stages.wanted(rows)) for network in (start, best.outcome.model)
    )
    record = {
        **found.as_json(),
        "held_out": len(held.x_test),
        "loss_points_held_out": found.loss_points(best),
        "recipe": asdict(best.outcome.settled),
        "distill": recipe.distill,
        "one_shot": _one_shot(stages, found, best, rows),
        "unfinished": stages.obstacle,
    }
    small: CompressedModel = best.outcome.model
    return small.after(
        small.module,
        method="rate-search",
        **record,
        data=rows.name,
        seed=seed,
        images=len(rows.x_test),
        **objective.scores(given, after),
    )


def _one_shot(stages: Stages, found: RateFound, best: RateTrial, rows: Dataset) -> dict[str, Any] | None:
    """One shot at the same rate, scored on held-out and test rows; None where one shot does not reach the rate."""
    try:
        untrained, tuned, epochs = stages.one_shot(found.target.rate or best.rate)
    except BudgetError:
        return None
    return {
        "rate": compression_rate(tuned),
        "epochs": epochs,
        "share_untrained": stages.share(untrained, rows),
        "share": stages.share(tuned, rows),
    }


def _check_given(model: object, target: object, recipe: object) -> None:
    """Raises: ModelError; ConfigError."""
    if not isinstance(model, nn.Module | CompressedModel):
        raise ModelError(
            f"model: got {type(model).__name__}, not a torch module or a CompressedModel; load_model returns one"
        )
    if not isinstance(target, RateTarget):
        raise ConfigError("target", type(target).__name__, "a RateTarget, such as RateTarget(rate=50)")
    if not isinstance(recipe, RateRecipe | None):
        raise ConfigError("recipe", type(recipe).__name__, "None or a RateRecipe, such as RateRecipe(shots=4)")
