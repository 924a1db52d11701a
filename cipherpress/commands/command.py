"""What every subcommand has: its options, its example, and threads set before any work."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from cipherpress.commands.console import Output
from compress.errors import ConfigError


def command(name: str, example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a subcommand; its first argument is the Output, its help ends with `example`."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        @wraps(function)
        def run(*args: Any, as_json: bool, quiet: bool, verbose: bool, threads: int | None, **options: Any) -> Any:
            logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")
            limit_threads(threads)
            return function(Output(as_json, quiet), *args, **options)

        wrapped: Any = run
        for option in (
            click.option(
                "--threads",
                type=click.IntRange(1),
                help="Threads for training and linear algebra; encrypt, run, infer: of a request or batch (default 1).",
            ),
            click.option("--verbose", is_flag=True, help="Log what is decided."),
            click.option("--quiet", is_flag=True, help="No progress and no notes."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout."),
        ):
            wrapped = option(wrapped)
        return click.command(name, epilog=f"\b\nExample:\n  {example}")(wrapped)

    return decorate


def limit_threads(threads: int | None) -> None:
    """Give linear algebra so many threads; None leaves its own choice.

    Raises: ConfigError for more threads than this process may use cores: they would slow each other down.
    """
    if threads is not None:
        cores = process_cores()
        if threads > cores:
            raise ConfigError("threads", threads, f"1 to {cores}, the cores that this process may use")
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)


def process_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def request_threads() -> int:
    """Threads for one encrypted request: --threads, or one."""
    return click.get_current_context().params["threads"] or 1
