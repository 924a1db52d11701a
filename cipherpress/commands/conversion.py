"""Options of conversion, for `convert`."""

from __future__ import annotations

import click

import cipherpress as cp
from cipherpress.commands.options import Group
from compress.conversion.limits import FRACTION_BITS, IMAGES

conversion_options = Group(
    "conversion",
    lambda **values: cp.Conversion(**values),
    (
        click.option(
            "--degree",
            default=None,
            type=click.Choice(["2", "3", "4"]),
            callback=lambda context, parameter, value: None if value is None else int(value),
            help="Largest degree of the polynomials; 3 and 4 cost twice the levels of 2. "
            "Default: 2, or 4 for shallow networks of regression that gain by it.",
        ),
        click.option("--per-channel", is_flag=True, help="One polynomial per channel."),
        click.option(
            "--epochs",
            type=click.IntRange(0),
            default=None,
            help="Distillation on the fixed codebook. "
            "Default: 8, or more where few rows would make fewer than 1000 steps.",
        ),
        click.option("--learning-rate", default=2e-2, show_default=True, help="Highest learning rate."),
        click.option("--batch-size", type=click.IntRange(1), help="Rows in a step.  [default: by the rows]"),
        click.option(
            "--images",
            default="handwriting",
            show_default=True,
            type=click.Choice(IMAGES),
            help="What training images show: handwriting is turned and bent at random, pictures moved and mirrored.",
        ),
        click.option(
            "--fraction-bits",
            type=click.IntRange(FRACTION_BITS.start, FRACTION_BITS.stop - 1),
            help="Train on, until weights are multiples of 2^-N and activations plain squares.",
        ),
    ),
)
