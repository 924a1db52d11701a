"""layers_table: the list of supported layers as Markdown, from the table that the importer follows."""

from __future__ import annotations

from compress.graph.importing import RULES
from compress.graph.spellings import spelled

BEGIN, END = "<!-- layers: begin -->", "<!-- layers: end -->"


def layers_table() -> str:
    """One row per rule: how it is written in torch, and what it becomes under encryption."""
    rows: dict[str, list[str]] = {}
    for rule in RULES:
        if rule.becomes:
            rows.setdefault(rule.becomes, []).extend(sorted({spelled(one) for one in rule.spellings}, key=_order))
    lines = ["| in torch | under encryption |", "|---|---|"]
    lines += [f"| {', '.join(f'`{name}`' for name in names)} | {becomes} |" for becomes, names in rows.items()]
    return "\n".join(lines)


def with_layers_table(page: str) -> str:
    """A page of documentation with the table between its two markers made anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{layers_table()}\n{END}{rest.split(END)[1]}"


def _order(name: str) -> tuple[int, str]:
    """Modules first, then functions, operators and methods."""
    kinds = ("nn.", "F.", "torch.")
    rank = next((position for position, kind in enumerate(kinds) if name.startswith(kind)), 3)
    return (rank + ("()" in name), name)
