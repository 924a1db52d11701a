"""--target-rate and --max-loss of `compress`: the search for a small network, its options and what it prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

import cipherpress as cp
from cipherpress.commands.console import Output, table
from cipherpress.commands.options import Group
from compress.tasks import SCORE_WORDS

if TYPE_CHECKING:
    from torch import nn

    from compress.dataset import Dataset
    from compress.model.compressed import CompressedModel


@dataclass(frozen=True)
class Rates:
    """What --target-rate, --max-loss and the parts of the recipe ask for. recipe: only what the user gave."""

    target_rate: float | None
    max_loss: float | None
    one_shot: bool
    recipe: dict[str, Any]

    @property
    def asked(self) -> bool:
        return self.target_rate is not None or self.max_loss is not None

    @property
    def searched(self) -> bool:
        """Whether networks are trained until one meets the target."""
        return self.asked and not self.one_shot

    def check(self, methods: tuple[str, ...], sparsity: float | None, of_one_shot: dict[str, str]) -> None:
        """Refuse what does not go together, before any work. of_one_shot: options that no search takes.

        Raises: UsageError.
        """
        first = "--target-rate" if self.target_rate is not None else "--max-loss"
        if self.asked and sparsity is not None:
            raise click.UsageError(f"--sparsity and {first} exclude each other; give one")
        if self.asked and "opq" not in methods:
            raise click.UsageError(f"{first} is an option of opq; give --sparsity, or --method opq too")
        if self.one_shot and (self.target_rate is None or self.max_loss is not None):
            raise click.UsageError("--one-shot goes with --target-rate alone: without a search no loss is measured")
        if self.recipe and not self.searched:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(self.recipe))
            raise click.UsageError(f"{names}: for the search; give --target-rate or --max-loss, no --one-shot")
        if not self.searched:
            return
        if "joint" in methods:
            raise click.UsageError(f"{first} puts biases and activations on grids itself; leave out --method joint")
        if self.max_loss is not None and len(methods) > 1:
            raise click.UsageError("--max-loss counts what opq alone loses; give no other --method")
        changed = [f"--{name} {value}" for name, value in of_one_shot.items() if value not in ("layer", "storage")]
        if changed:
            raise click.UsageError(f"{', '.join(changed)}: the search does not take it; add --one-shot")

    def search(
        self,
        model: nn.Module | CompressedModel,
        data: Dataset,
        recipe: dict[str, Any],
        *,
        augment: bool,
        seed: int,
        out: Output,
    ) -> CompressedModel:
        """The network that meets the target. recipe: parts that other options give.

        Raises: what `compress_for` raises.
        """
        target = cp.RateTarget(rate=self.target_rate, max_loss_points=self.max_loss)
        whole = cp.RateRecipe(**{**{name: value for name, value in recipe.items() if value is not None}, **self.recipe})
        with out.progress("search") as progress:
            return cp.compress_for(model, data, target, whole, augment=augment, seed=seed, progress=progress)


def search_lines(record: dict[str, Any]) -> str:
    """A "rate-search" entry of a history, for people: the networks that were trained, one shot, and what to know."""
    rows = [
        {"network": str(number), "times smaller": f"{trial['rate']:.1f}", "points lost": f"{trial['loss_points']:+.2f}"}
        for number, trial in enumerate(record["trials"], start=1)
    ]
    lines = [f"trained, on {record['held_out']} held-out training rows:", table(rows, list(rows[0]))]
    shot, word = record["one_shot"], SCORE_WORDS[record["score"]]
    word = "R2" if record["score"] == "mse" else word
    if shot is None:
        lines.append("one shot does not reach this rate")
    else:
        lines.append(
            f"one shot: {shot['rate']:.1f} times smaller, {word} {shot['share_untrained']:.4f} untrained and "
            f"{shot['share']:.4f} after {shot['epochs']} epochs"
        )
    if record["unfinished"]:
        lines.append(f"biases and activations stay as they are: {record['unfinished']}")
    most = record["max_loss_points"]
    if most is not None and record["score"] != "mse":
        lost = 100 * (record["score_before"] - record["score_after"])
        if lost > most:
            lines.append(f"warning: on test rows it loses {lost:.2f} points, more than the {most:g} asked for")
    return "\n".join(lines)


def _rates(target_rate: float | None, max_loss: float | None, one_shot: bool, **recipe: Any) -> Rates:
    return Rates(target_rate, max_loss, one_shot, {name: value for name, value in recipe.items() if value is not None})


rate_options = Group(
    "rates",
    _rates,
    (
        click.option(
            "--target-rate",
            type=click.FloatRange(1, min_open=True),
            help="Instead of --sparsity: how many times smaller, everything counted. Searches for the most accurate "
            "network of that rate on held-out training rows.",
        ),
        click.option(
            "--max-loss",
            type=click.FloatRange(0),
            metavar="POINTS",
            help="Most points of accuracy, or hundredths of R2, that may be lost on held-out training rows. Without "
            "--target-rate: searches for the smallest network.",
        ),
        click.option("--one-shot", is_flag=True, help="With --target-rate: one step of opq, --epochs, and no search."),
        click.option("--shots", type=int, help="Search: steps of pruning up to the first network.  [default: 5]"),
        click.option("--epochs-between", type=int, help="Search: epochs after the other shots.  [default: a fifth]"),
        click.option("--epochs-further", type=int, help="Search: epochs of each further step.  [default: two fifths]"),
        click.option(
            "--epochs-reference",
            type=int,
            help="Search: epochs of the uncompressed network without the held-out rows, which losses are counted from; "
            "0 counts from MODEL as it is, which may have learnt these rows.  [default: a fifth]",
        ),
        click.option("--learning-rate", type=float, help="Search: highest learning rate.  [default: by rate]"),
        click.option("--shrinkage", type=float, help="Search: strength of the L1 penalty.  [default: by rate]"),
        click.option("--bias-bits", type=int, help="Search: bits of a bias.  [default: by rate]"),
        click.option("--cap", type=float, help="Search: largest share pruned of a layer.  [default: 0.998]"),
        click.option("--distill/--no-distill", default=None, help="Search: learn from MODEL as well as from labels."),
        click.option("--held-out", type=int, help="Search: training rows that are set aside.  [default: 5000]"),
        click.option("--max-trials", type=int, help="Search: most networks that are trained.  [default: 8]"),
    ),
)
