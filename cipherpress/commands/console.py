"""Where output goes: results on stdout, as text or as one JSON object; progress and notes on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

import click

from compress.tasks import SCORE_WORDS

if TYPE_CHECKING:
    from compress.dataset import Progress

#: Where stderr is no terminal, progress is a line after so many seconds.
SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True)
class Output:
    """Where a command's results, notes and progress go."""

    as_json: bool = False
    quiet: bool = False

    def result(self, values: dict[str, Any], text: str = "") -> None:
        """The command's result on stdout: `values` as one JSON object under --json, else `text`."""
        if self.as_json:
            click.echo(json.dumps(values))
        elif text:
            click.echo(text)

    def note(self, text: str) -> None:
        """A line for people on stderr."""
        if not (self.quiet or self.as_json):
            click.echo(text, err=True)

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """Yields a callback that takes the name of a step and the share of this step that is done, in [0, 1].

        On a terminal it moves a bar; elsewhere it writes a line every few seconds.
        """
        if self.quiet or self.as_json:
            yield lambda step, share: None
        elif not sys.stderr.isatty():
            yield _Lines(label)
        else:
            from rich.console import Console
            from rich.progress import Progress

            with Progress(console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task(label, total=1.0)
                yield lambda step, share: bar.update(task, completed=share, description=f"{label}: {step}")


class _Lines:
    """Progress as lines on stderr, at most one per SECONDS_BETWEEN_LINES; short work writes none."""

    def __init__(self, label: str) -> None:
        self._label, self._last = label, monotonic()

    def __call__(self, step: str, share: float) -> None:
        if monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = monotonic()
            click.echo(f"{self._label}: {step}, {share:.0%} done", err=True)


def fail(message: str) -> NoReturn:
    """End with exit status 1 and one line on stderr."""
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(1)


def table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Rows as aligned text; columns of numbers are flush right."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, pad_edge=False)
    for column in columns:
        numeric = any(isinstance(row.get(column), int | float) for row in rows)
        grid.add_column(column.replace("_", " "), justify="right" if numeric else "left")
    for row in rows:
        grid.add_row(*(_cell(row.get(column)) for column in columns))
    text = StringIO()
    Console(file=text, width=160).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def pairs(values: dict[str, Any]) -> str:
    """Names and values as a table of two columns; nested objects and the list of classes are left out."""
    rows = [
        {"": name.replace("_", " "), "value": value}
        for name, value in values.items()
        if not isinstance(value, dict) and name != "classes"
    ]
    return table(rows, ["", "value"])


def score_line(record: Mapping[str, Any], before: float, after: float, count: int) -> str:
    """One line about a score before and after; record: with `task` and `score`, as the record of a network has them."""
    if record.get("score", "accuracy") == "accuracy":
        return f"accuracy {before:.4f} -> {after:.4f} on {count} test images"
    against = " against the given network's answers" if record["task"] == "none" else ""
    return f"{SCORE_WORDS[record['score']]} {before:.4g} -> {after:.4g} on {count} test rows{against}"


def size(count_bytes: float) -> str:
    """A number of bytes for people: 512 B, 90.5 kB, 1.76 MB."""
    if count_bytes < 1000:
        return f"{count_bytes:.0f} B"
    return f"{count_bytes / 1e3:.1f} kB" if count_bytes < 1e6 else f"{count_bytes / 1e6:.2f} MB"
