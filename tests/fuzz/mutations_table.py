"""The table of a long run of mutations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report import table_head, with_note
from tests.fuzz.trial import MOST_SECONDS


def mutations_table(result: Mapping[str, Any]) -> str:
    """Markdown: a line per type, with what the whole run came to, machine, date and command under it."""
    lines = table_head(("type", "mutations", "outcomes", "ms each", "slowest, s", "faults"))
    rows, machine, memory = result["types"], result["machine"], result["memory_bytes"]
    for name, row in sorted(rows.items()):
        outcomes = ", ".join(f"{what} {count:,}" for what, count in sorted(row["outcomes"].items()))
        lines.append(
            f"| {name} | {row['done']:,} | {outcomes} | {1e3 * row['cpu_s'] / max(row['done'], 1):.2f} | "
            f"{row['slowest_s']:.2f} | {len(row['faults'])} |"
        )
    done, faults = sum(row["done"] for row in rows.values()), sum(len(row["faults"]) for row in rows.values())
    note = (
        f"{done:,} mutations, {faults} faults. A fault is a crash, an error of another type than those that a "
        f"container may be refused with, more than {MOST_SECONDS:g} s of processor time, or memory that grows. Memory "
        f"of the last process: {memory[0] / 1e6:.0f} MB after its warm-up, {memory[-1] / 1e6:.0f} MB at its end. "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)
