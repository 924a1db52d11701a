"""compile, press: to a bundle, by given settings or by a search for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any

import click

import cipherpress as cp
from cipherpress.commands.artifacts import DataSource, Destination, ModelSource, load_converted
from cipherpress.commands.command import command
from cipherpress.commands.console import Output, score_line, table
from cipherpress.commands.natives import native_line, training_options
from cipherpress.commands.options import (
    ByteCount,
    Group,
    data_options,
    mode_option,
    model_options,
    output_options,
    plan_options,
    seed_option,
)
from compress.blocks.options import COST_NAMES
from compress.errors import BudgetError

if TYPE_CHECKING:
    from cipherpress.commands.natives import Training
    from cipherpress.targeted import Search
    from compress.press.setting import Setting
    from compress.press.target import Found, Target
    from secure.limits import Limits

#: What a search decides by itself.
DECIDED_BY_SEARCH = ("block", "share", "cost", "sparsity", "shots", "finetune_epochs")


@command(
    "compile",
    "cipherpress compile out/friendly --data mnist -o out/bundle\n"
    "  cipherpress compile out/friendly --data mnist --mode throughput -o out/batches",
)
@click.argument("model")
@data_options
@mode_option
@plan_options
@output_options
@seed_option
def compile_command(
    out: Output, model: str, source: DataSource, mode: str, limits: Limits, output: Destination, seed: int
) -> None:
    """Choose packing, scales and parameters for a converted MODEL and write the BUNDLE.

    With --mode throughput its integer codes run as they are, on a batch of images with one ciphertext per feature: time
    follows the non-zeros and the bits of the network.
    """
    output.check_folder()
    network = load_converted(model)
    data = source.load()
    with out.progress("compile") as progress:
        bundle = cp.compile(network, data, limits, mode=mode, seed=seed, progress=progress)
    output.save(bundle)
    out.result(bundle.report_json(), f"{bundle.explain()}\nsaved {output.path}")


@dataclass(frozen=True)
class Chosen:
    """The parts of a Setting that were given on the command line; presets fill in the others."""

    given: dict[str, Any]

    def over(self, preset: Setting) -> Setting:
        """The preset with what was given; a pruning is the user's or the preset's, never half of each."""
        if {"block", "share", "cost"} & set(self.given):
            preset = replace(preset, block=None, share=0.0, cost=COST_NAMES[0])
        return replace(preset, **self.given)


@dataclass(frozen=True)
class Wanted:
    """What a search has to reach and how far it goes; both None: no search."""

    target: Target | None
    search: Search | None
    keep_closest: bool


def _chosen(**values: Any) -> Chosen:
    return Chosen({name: value for name, value in values.items() if value is not None})


def _wanted(
    *,
    min_accuracy: float | None,
    target_ms: float | None,
    target_keys_bytes: float | None,
    target_upload_bytes: float | None,
    families: tuple[str, ...],
    max_trials: int,
    minutes: float,
    keep_closest: bool,
) -> Wanted:
    costs = {"server_ms": target_ms, "keys_bytes": target_keys_bytes, "upload_bytes": target_upload_bytes}
    if min_accuracy is None:
        if keep_closest or any(value is not None for value in costs.values()):
            raise click.UsageError("a target needs --min-accuracy; without one everything can be pruned away")
        return Wanted(None, None, keep_closest)
    search = cp.Search(max_trials=max_trials, minutes=minutes)
    if families:
        search = replace(search, families=families)
    return Wanted(cp.Target(min_accuracy=min_accuracy, **costs), search, keep_closest)


setting_options = Group(
    "chosen",
    _chosen,
    (
        click.option(
            "--block", help="Blocks pruned first, as --block of compress (default: the network's preset, or none)."
        ),
        click.option("--share", type=float, help="Share of --cost that goes with them (default: preset, or 0)."),
        click.option(
            "--cost",
            type=click.Choice(COST_NAMES),
            help="Cost model of --share (default: the preset, or ckks-diagonals).",
        ),
        click.option(
            "--sparsity",
            type=float,
            help="Share of weights that goes (default: the network's preset, or 0.5).",
        ),
        click.option("--bits", type=float, help="Mean bits of a weight that stays (default: the preset, or 5)."),
        click.option(
            "--shots",
            type=click.IntRange(1),
            help="Prune in so many steps, weighted by curvature, and distil from MODEL as it is given.",
        ),
        click.option(
            "--finetune-epochs",
            type=click.IntRange(0),
            help="Epochs of fine-tuning on the codebook. Default: the preset, or 1.",
        ),
        click.option(
            "--convert-epochs",
            type=click.IntRange(0),
            help="Epochs of distillation into polynomials. Default: the preset, or 8; for few rows more.",
        ),
        click.option(
            "--convert-learning-rate",
            type=float,
            help="Highest learning rate of conversion. Default: the preset, or 0.02.",
        ),
        click.option(
            "--convert-distortion",
            type=float,
            help="Strength of the distortions of training images in conversion. Default: the preset, or 1.",
        ),
    ),
)
target_options = Group(
    "wanted",
    _wanted,
    (
        click.option(
            "--min-accuracy",
            type=click.FloatRange(0, 1),
            help="Search: least accuracy, or R2, on held-out training rows, as 0.985; without a target: the fastest.",
        ),
        click.option("--target-ms", type=float, help="Search: most server time of a request, as predicted."),
        click.option(
            "--target-keys", "target_keys_bytes", type=ByteCount(), help="Search: most bytes of keys, such as 2M."
        ),
        click.option(
            "--target-upload",
            "target_upload_bytes",
            type=ByteCount(),
            help="Search: most bytes of a request, such as 90k.",
        ),
        click.option(
            "--family",
            "families",
            multiple=True,
            help="Search: blocks that are tried, as --block of compress; repeat for several.  [default: inputs:1]",
        ),
        click.option(
            "--search-trials",
            "max_trials",
            default=8,
            show_default=True,
            type=click.IntRange(1),
            help="Search: most networks that are trained.",
        ),
        click.option(
            "--search-minutes",
            "minutes",
            default=30.0,
            show_default=True,
            type=click.FloatRange(0, min_open=True),
            help="Search: minutes that it may take; no training starts that would end later.",
        ),
        click.option("--keep-closest", is_flag=True, help="Save the closest network when the target is missed."),
    ),
)


@command(
    "press",
    "cipherpress press mlp --data mnist -o out/bundle\n"
    "  cipherpress press mlp --data mnist --mode throughput -o out/batches\n"
    "  cipherpress press cnn --data mnist --native -o out/native\n"
    "  cipherpress press lenet300 --data mnist --target-ms 9 --min-accuracy 0.985 -o out/fast",
)
@model_options
@data_options
@mode_option
@plan_options
@setting_options
@training_options
@target_options
@output_options
@seed_option
def press_command(
    out: Output,
    model: ModelSource,
    source: DataSource,
    mode: str,
    limits: Limits,
    chosen: Chosen,
    training: Training,
    wanted: Wanted,
    output: Destination,
    seed: int,
) -> None:
    """Compress, convert and compile MODEL in one go; prints the score before and after.

    With --min-accuracy and targets it searches for a network that meets them: it tries activations as straight lines,
    whole blocks pruned and the codebook of --bits, by what their plans are predicted to cost, on held-out training
    images. What was tried stays in BUNDLE/targets.json with a picture. A target that cannot be met ends with status 1
    and writes nothing.
    """
    native = training.native
    setting = _setting(model.spec, mode, limits, chosen, wanted, native is not None)
    output.check_folder()
    data = source.load()
    thing = model.trainable()
    common: dict[str, Any] = {"augment": training.augment, "seed": seed}
    if wanted.target is None:
        with out.progress("press") as progress:
            bundle = cp.press(thing, data, setting, limits, native=native, mode=mode, **common, progress=progress)
        output.save(bundle)
        accuracies = _accuracies(bundle.report["about"])
        if native is not None:
            accuracies = f"{native_line(bundle.report['about'])}\n{accuracies}"
        out.result(bundle.report_json(), f"{bundle.explain()}\n{accuracies}\nsaved {output.path}")
        return
    with out.progress("search") as progress:
        found = cp.press_for(
            thing, data, wanted.target, setting, limits, mode=mode, search=wanted.search, **common, progress=progress
        )
    _save_search(out, found, output, wanted.keep_closest)


def _setting(spec: str, mode: str, limits: Limits, chosen: Chosen, wanted: Wanted, native: bool) -> Setting | None:
    """What is done to MODEL, from its preset and the options; None for a native network, which has no setting.

    None too for a model without a preset of its own where no option is given: `press` then chooses.

    Raises: click.UsageError for options that do not go together.
    """
    from cipherpress.zoo.presets import DEFAULT, press_setting

    if native:
        if chosen.given or wanted.target is not None:
            raise click.UsageError(
                "--native trains a network of its own: leave out options of pruning, conversion and the search"
            )
        return None
    preset = press_setting(spec)
    if wanted.target is None:
        return chosen.over(preset) if chosen.given or preset != DEFAULT else None
    if min(limits.keys_bytes, limits.upload_bytes) < inf or set(DECIDED_BY_SEARCH) & set(chosen.given):
        raise click.UsageError(
            "with --min-accuracy the search decides what is pruned: leave out --sparsity, --shots, --finetune-epochs, "
            "--block, --share and --cost, and give --target-keys and --target-upload instead of budgets"
        )
    return chosen.over(preset.uncompressed())


def _accuracies(about: Any) -> str:
    return f"{score_line(about, about['score_plain'], about['score_after'], about['test_images'])}, in clear"


def _save_search(out: Output, found: Found, output: Destination, keep_closest: bool) -> None:
    """The bundle of a search with everything that was tried beside it; of a missed target only on demand, and an
    error.
    """
    from compress.press.search_file import PLOT_FILE, TARGETS_FILE, write_search

    if found.met or keep_closest:
        output.save(found.bundle)
        if not write_search(found, output.path):
            out.note(f"no {PLOT_FILE}: it needs matplotlib; install cipherpress[plots]")
    if not found.met:
        raise BudgetError(f"{found.verdict}" + (f"; the closest is saved in {output.path}" if keep_closest else ""))
    rows = found.as_json()["trials"]
    shown = [{**row, "setting": row["described"], "pareto": "yes" if row["pareto"] else ""} for row in rows]
    columns = ["setting", "server_ms", "keys_bytes", "upload_bytes", "accuracy_held_out", "pareto"]
    text = (
        f"{table(shown, columns)}\n\n{found.verdict}; {_accuracies(found.bundle.report['about'])}"
        f"\nsaved {output.path} with {TARGETS_FILE}"
    )
    out.result(found.bundle.report_json(), text)
