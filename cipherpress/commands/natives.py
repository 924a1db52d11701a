"""Options of networks made for one ciphertext, which press and convert share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cipherpress.commands.options import Group, augment_option
from compress.native.options import DEFAULT_FEATURES, EPOCHS, LESSONS, Native

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Training:
    """How a network is trained: as a native one or not, on distorted images or not."""

    native: Native | None
    augment: bool


def _training(*, native: bool, augment: bool, **values: Any) -> Training:
    """Raises: UsageError for options of a native network without --native; ConfigError."""
    given = {name.removeprefix("native_"): value for name, value in values.items() if value not in (None, ())}
    if not native:
        if given:
            name = next(iter(given)).replace("_", "-")
            raise click.UsageError(f"--native-{name} is for a native network: give --native too")
        return Training(None, augment)
    return Training(Native(**given), augment)


def native_line(about: Mapping[str, Any]) -> str:
    """What a native network is and what it learned from, in a line; empty for any other."""
    made = about.get("native")
    if made is None:
        return ""
    sizes = "-".join(map(str, (made["features"], *made["hidden"])))
    tried = ", ".join(f"{name} {score:.2%}" for name, score in made["held_out"].items())
    learned = f"learned from {made['learned_from']}" + (f" (held-out rows: {tried})" if tried else "")
    front = f"behind {made['features']} cosine coefficients"
    return f"native network {sizes}, weights of {made['bits']} bits, {front}; {learned}"


training_options = Group(
    "training",
    _training,
    (
        augment_option,
        click.option(
            "--native",
            is_flag=True,
            help="Train a network of a shape made for one ciphertext in MODEL's place: cosine coefficients, which the "
            "client computes, linear layers and squares. For images and classes.",
        ),
        click.option(
            "--native-features",
            "native_features",
            type=click.IntRange(2),
            help=f"Native: cosine coefficients of an image.  [default: {DEFAULT_FEATURES}, or all]",
        ),
        click.option(
            "--native-hidden",
            "native_hidden",
            type=click.IntRange(2),
            multiple=True,
            help=f"Native: units of a hidden layer; repeat for several.  [default: {Native.hidden[0]}]",
        ),
        click.option(
            "--native-bits", "native_bits", type=int, help=f"Native: bits of a weight.  [default: {Native.bits}]"
        ),
        click.option(
            "--native-epochs",
            "native_epochs",
            type=click.IntRange(0),
            help=f"Native: passes over the training rows.  [default: {EPOCHS}, or more for few rows]",
        ),
        click.option(
            "--native-noise",
            "native_noise",
            type=float,
            help=f"Native: standard deviation of the noise on features in training.  [default: {Native.noise}]",
        ),
        click.option(
            "--native-label-smoothing",
            "native_label_smoothing",
            type=click.FloatRange(0, 0.9),
            help=f"Native: share of a label that is spread over all classes.  [default: {Native.label_smoothing}]",
        ),
        click.option(
            "--native-copies",
            "native_copies",
            type=click.IntRange(0),
            help=f"Native: distorted copies of an image.  [default: {Native.copies}]",
        ),
        click.option(
            "--native-learn-from",
            "native_learn_from",
            type=click.Choice(LESSONS),
            help="Native: labels, MODEL's answers, or what is better on held-out rows.  [default: best]",
        ),
    ),
)
