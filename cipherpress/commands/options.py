"""Options that several commands share. A Group hands its options to the command as one checked value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from math import inf, nan
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

import cipherpress as cp
from cipherpress.commands.artifacts import DataSource, Destination, ModelSource
from compress.tasks import TASKS
from secure.limits import (
    BACKENDS,
    DEFAULT_COMPILE_BYTES,
    DEFAULT_COMPILE_SECONDS,
    DEFAULT_LINK_MBIT_S,
    FOLDS,
    MODES,
    OBJECTIVES,
)

Option = Callable[[Any], Any]


@dataclass(frozen=True)
class Group:
    """A decorator that adds options and passes `name=make(**their values)` to the command.

    `make` runs before the command's first line, so a value out of range is refused before any work.
    """

    name: str
    make: Callable[..., Any]
    options: Sequence[Option]

    def __call__(self, function: Any) -> Any:
        known = len(getattr(function, "__click_params__", []))

        @wraps(function)
        def call(*args: Any, **values: Any) -> Any:
            own = {name: values.pop(name) for name in names}
            return function(*args, **values, **{self.name: self.make(**own)})

        decorated: Any = call
        for option in reversed(self.options):
            decorated = option(decorated)
        names = [parameter.name for parameter in decorated.__click_params__[known:]]
        return decorated


class ByteCount(click.ParamType):
    """A number of bytes: 500000, 500k or 2M, in decimal units as sizes are printed."""

    name = "bytes"
    _FACTORS = MappingProxyType({"k": 1e3, "m": 1e6, "g": 1e9})

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip().lower().removesuffix("b")
        factor = self._FACTORS.get(text[-1:], 1.0)
        try:
            number = float(text[:-1] if factor > 1 else text) * factor
        except ValueError:
            number = nan
        if not number > 0:
            self.fail(f"'{value}' is not a positive number of bytes; give for example 500k or 2M", param, ctx)
        return number


def path_option(*names: str, **settings: Any) -> Option:
    """An option whose value is a path."""
    return click.option(*names, type=click.Path(path_type=Path), **settings)


memory_option = click.option(
    "--memory",
    "memory_bytes",
    type=ByteCount(),
    help="Most bytes that this process may take, such as 8G. With less, a request takes longer.",
)
force_option = click.option("--force", is_flag=True, help="Replace an existing output.")
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything random."
)
augment_option = click.option("--augment/--no-augment", default=True, help="Distort training images (image data only).")
clip_option = click.option(
    "--clip", is_flag=True, help="Bring values outside the accepted range to its end, and say how many."
)
mode_option = click.option(
    "--mode",
    type=click.Choice(MODES),
    default=MODES[0],
    show_default=True,
    help="One input at a time, soon; or a batch of any number at once, on a server that needs no key.",
)
bundle_argument = click.argument("bundle", type=click.Path(path_type=Path))

data_options = Group(
    "source",
    DataSource,
    (
        click.option(
            "--data", "data_name", required=True, help="mnist, fashion-mnist, digits, an IDX folder or an .npz file."
        ),
        click.option(
            "--task",
            type=click.Choice(TASKS),
            help="What the labels are for (default: derived from labels and outputs; with a bundle, its own).",
        ),
        path_option("--data-dir", help="Folder of data sets that are not shipped."),
    ),
)
model_options = Group(
    "model",
    ModelSource,
    (
        click.argument("spec", metavar="MODEL"),
        path_option("--weights", help="Weights of file.py:factory, as .safetensors or .pt state dict."),
        click.option(
            "--random-weights",
            is_flag=True,
            help="Go on with the random weights of file.py:factory; without --weights they are refused.",
        ),
        click.option(
            "--model", "factory", help="For a saved folder of your own network: path/to/file.py:factory again."
        ),
    ),
)
output_options = Group(
    "output",
    Destination,
    (path_option("-o", "--output", "path", required=True, help="Path of the result."), force_option),
)
plan_options = Group(
    "limits",
    lambda **values: cp.Limits(**values),
    (
        click.option("--max-error", type=float, help="Largest acceptable error of an output, at six sigma."),
        click.option(
            "--max-disagreement",
            type=float,
            default=cp.ACCEPTABLE_DISAGREEMENT,
            show_default=True,
            help="Without --max-error: largest share of classes that encryption may be expected to change.",
        ),
        click.option(
            "--budget-keys",
            "keys_bytes",
            type=ByteCount(),
            default=inf,
            help="Most bytes that all evaluation keys may take, such as 2M.",
        ),
        click.option(
            "--budget-upload",
            "upload_bytes",
            type=ByteCount(),
            default=inf,
            help="Most bytes that one request may take, such as 90k.",
        ),
        click.option(
            "--memory",
            "memory_bytes",
            type=ByteCount(),
            default=inf,
            help="Most bytes that a server's process may need, with one client's keys and one request at a time, such "
            "as 8G.",
        ),
        click.option(
            "--objective",
            type=click.Choice(OBJECTIVES),
            help="What the plan has least of: server time, or the whole round trip with encryption and messages.  "
            "[default: server; round-trip with --target-ms]",
        ),
        click.option(
            "--link-mbit-s",
            type=float,
            default=DEFAULT_LINK_MBIT_S,
            show_default=True,
            help="Speed of the link, for round trips.",
        ),
        click.option(
            "--backends",
            type=click.Choice(BACKENDS),
            default=BACKENDS[0],
            show_default=True,
            help="Who must be able to run the plan: the backend that is fastest for it, or the engine and SEAL both.",
        ),
        click.option(
            "--fold",
            type=click.Choice(FOLDS),
            default=FOLDS[0],
            show_default=True,
            help="Who adds up the last partial sums. By the client it is faster, and shows it what every unit of the "
            "last hidden layer contributes.",
        ),
        click.option(
            "--accept-loose-bound",
            is_flag=True,
            help="Compile a network whose bound of errors is useless, since rare inputs make the network explode.",
        ),
        click.option(
            "--compile-memory",
            "compile_bytes",
            type=ByteCount(),
            default=DEFAULT_COMPILE_BYTES,
            help="Most bytes that compiling itself may be estimated to take, such as 8G.  [default: 8G]",
        ),
        click.option(
            "--compile-seconds",
            type=float,
            default=DEFAULT_COMPILE_SECONDS,
            show_default=True,
            help="Most seconds that compiling itself may be estimated to take.",
        ),
    ),
)
