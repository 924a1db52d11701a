"""A result as the two files that every benchmark writes: JSON, and the Markdown table made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compress.artifact import json_bytes, write_file


def write_result(path: Path, result: Mapping[str, Any], table: str) -> None:
    """Write a result to `path` (a .json file) and its table beside it; earlier ones are replaced."""
    write_file(path, json_bytes(result), force=True)
    write_file(path.with_suffix(".md"), table.encode(), force=True)


def read_result(path: Path) -> dict[str, Any]:
    """An earlier result, to which rows are added; one without rows when there is none."""
    return dict(json.loads(path.read_bytes())) if path.is_file() else {"rows": []}


def has_row(result: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    """Whether a result has a row with all settings of a job."""
    return any(all(row.get(key) == value for key, value in job.items()) for row in result["rows"])


def table_head(headings: Sequence[str]) -> list[str]:
    """The first two lines of a Markdown table."""
    return [table_row(headings), "|" + "---|" * len(headings)]


def table_row(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def with_note(lines: Sequence[str], note: str) -> str:
    """A table with a paragraph below it."""
    return "\n".join([*lines, "", note]) + "\n"
