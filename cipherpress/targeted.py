"""press_for: the search for a compressed network whose plan meets a target."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from torch import nn

from cipherpress.compiled import compile as compile_bundle
from cipherpress.pressed import check_given, recorded_warnings, settled_rows, with_scores
from compress.blocks.patterns import parse_patterns
from compress.checks import is_number, is_whole, tuple_of_names
from compress.dataset import Dataset, Progress
from compress.errors import BudgetError, ConfigError
from compress.model.compressed import CompressedModel
from compress.network import Network
from compress.press.candidates import Candidates, Compile
from compress.press.pressing import with_epochs
from compress.press.search import search as search_settings
from compress.press.setting import Setting
from compress.press.target import Costs, Found, Target
from compress.recorded import log_recorded, unlogged
from compress.training.held_out import hold_out
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.specs import Bundle
from secure.limits import MODES, Limits
from secure.seal.sizes import ciphertext_bytes, client_keys_bytes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Search:
    """How far a search goes.

    families: of blocks that are tried. max_trials: most networks that are trained. minutes: no training starts that
    would end later.
    """

    families: tuple[str, ...] = ("inputs:1",)
    max_trials: int = 8
    minutes: float = 30.0

    def __post_init__(self) -> None:
        families = tuple_of_names("families", self.families)
        if not families:
            raise ConfigError("families", self.families, "one family or more, such as ('inputs:1',)")
        for family in families:
            parse_patterns(family)
        object.__setattr__(self, "families", families)
        if not (is_whole(self.max_trials) and self.max_trials >= 1):
            raise ConfigError("max_trials", self.max_trials, "a whole number, 1 or more")
        if not (is_number(self.minutes) and self.minutes > 0):
            raise ConfigError("minutes", self.minutes, "a number above 0")


def press_for(
    model: nn.Module | CompressedModel,
    data: object,
    target: Target,
    setting: Setting | None = None,
    limits: Limits | None = None,
    *,
    mode: str = MODES[0],
    search: Search | None = None,
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Found:
    """Search for the compressed network whose plan meets a target; without target times and sizes, for the fastest.

    data: what `as_dataset` takes. target: the least accuracy (or R2), on training images that are held out of all
    training, and the most server time, keys and upload as `compile` predicts them. setting: where the search starts,
    which decides by itself what is pruned (default: nothing compressed). limits: the error or the share of changed
    classes as of `compile`; the target has the bytes. With a target time and limits that name no objective, the plan of
    the shortest round trip is taken if its server time is within the target.

    mode: as of `compile`. In "throughput" a plan is for batches and its bundle a BatchBundle: times and uploads are one
    image's share of a full block, and no plan has keys.

    The result's `met` and `verdict` say whether the target is met. `bundle` is what was found or comes closest, with
    its accuracy on all test images in the report. Warnings of other candidates are not logged.
    Raises: ModelError for a model of another type; ConfigError; what convert and compile raise when not even the
    uncompressed network goes through.
    """
    check_given(model, setting, limits, seed, mode)
    if not isinstance(target, Target):
        raise ConfigError("target", type(target).__name__, "a Target, such as Target(min_accuracy=0.98)")
    if not isinstance(search, Search | None):
        raise ConfigError("search", type(search).__name__, "None or a Search, such as Search(max_trials=4)")
    search, limits = search or Search(), limits or Limits()
    model, rows = settled_rows(model, data)
    held = hold_out(rows, seed=seed)

    compiled = _compiler(held, limits, target, mode, seed)
    maker = Candidates(model, held, compiled, max_error=limits.max_error, augment=augment, seed=seed)
    start = with_epochs(model, held, setting or Setting().uncompressed())
    with unlogged():  # by candidates that are not taken
        found = search_settings(
            maker, target, start, search.families, max_trials=search.max_trials, minutes=search.minutes,
            progress=progress,
        )  # fmt: skip
    network, bundle = found.best.outcome
    about = {**bundle.report["about"], "accuracy_held_out": found.best.accuracy}
    log_recorded(logger, recorded_warnings(bundle))
    finished = replace(bundle, report={**bundle.report, "about": about, "targets": found.as_json()})
    return found.with_bundle(with_scores(finished, network, model, rows))


def _compiler(held: Dataset, limits: Limits, target: Target, mode: str, seed: int) -> Compile:
    """What compiles and prices the networks of a search, whose outcomes are a network and its bundle."""

    def compiled(network: Network, largest_error: float | None) -> tuple[tuple[Network, Any], Costs, float]:
        free = replace(limits, max_error=largest_error)
        if mode != MODES[0]:
            batches = compile_bundle(network, held, free, mode="throughput", seed=seed)
            return (network, batches), _image_costs(batches), batches.client.predicted_logit_error
        keys_bytes, upload_bytes = (inf if most is None else most for most in (target.keys_bytes, target.upload_bytes))
        bounded = replace(free, keys_bytes=keys_bytes, upload_bytes=upload_bytes)
        try:
            bundle = _within(network, held, bounded, target, seed)
        except BudgetError:  # a plan without budgets says by how much it misses them
            bundle = _within(network, held, free, target, seed)
        return (network, bundle), _costs(bundle), bundle.client.predicted_logit_error

    return compiled


def _within(network: Network, rows: Dataset, limits: Limits, target: Target, seed: int) -> Bundle:
    """The bundle of the shortest round trip if its server time is within the target, else of the least server time.

    Where limits name an objective, that one alone counts; without a target time the server time does.
    """
    if limits.objective is not None or target.server_ms is None:
        return compile_bundle(network, rows, limits, seed=seed)
    bundle = compile_bundle(network, rows, replace(limits, objective="round-trip"), seed=seed)
    if bundle.report["predicted_server_ms"] <= target.server_ms:
        return bundle
    return compile_bundle(network, rows, replace(limits, objective="server"), seed=seed)


def _image_costs(bundle: BatchBundle) -> Costs:
    """What one image's share of a full block is predicted to cost."""
    report = bundle.report
    return Costs(server_ms=1e-3 * report["predicted_us_per_image"], keys_bytes=0.0, upload_bytes=report["upload_bytes"])


def _costs(bundle: Bundle) -> Costs:
    """What a bundle's plan is predicted to cost, by the kinds of target."""
    plan = bundle.server.plan
    params = plan.params
    return Costs(
        server_ms=bundle.report["predicted_server_ms"],
        keys_bytes=client_keys_bytes(params, plan.made_keys),
        upload_bytes=plan.inputs * ciphertext_bytes(params, plan.input_level, seeded=True),
    )
