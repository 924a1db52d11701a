"""Random networks of every family of `cipherpress selftest`, end to end and encrypted, as a committed result.

cipherpress bench selftest -o DIR --images 200
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import this_machine
from benchmarks.report import table_head, table_row, with_note, write_result
from cipherpress.commands.command import process_cores
from cipherpress.selftest.families import FAMILIES
from cipherpress.selftest.judging import remarks, summary
from cipherpress.selftest.processes import run_cases
from compress.dataset import Progress

#: Networks per family.
NETWORKS = 4
HEADINGS = (
    "family", "compiled", "refused", "inputs", "outside the bound", "largest error / bound",
    "the same of the loosest bound", "networks under SEAL", "by a second plan", "largest error / bound under SEAL",
    "classes changed", "promised at most", "largest loss of score", "s", "peak MB",
)  # fmt: skip
BATCH_HEADINGS = (
    "family", "compiled", "refused", "inputs", "outside the bound", "largest error / bound", "classes changed",
    "promised at most",
)  # fmt: skip


def run(output: Path, *, images: int = 200, progress: Progress | None = None) -> dict[str, Any]:
    """Run every family's networks on `images` test rows each; write selftest.json and selftest.md into `output`."""
    cases = [(family, seed) for seed in range(NETWORKS) for family in FAMILIES]
    machine = this_machine().as_json()
    results = run_cases(cases, images, process_cores(), progress or (lambda label, share: None))
    result = {
        "machine": machine,
        "command": f"cipherpress bench selftest -o DIR --images {images}",
        **summary(results),
    }
    write_result(Path(output) / "selftest.json", result, selftest_table(result))
    return result


def selftest_table(result: Mapping[str, Any]) -> str:
    """The rows by family as a Markdown table, those in throughput mode as a second one, with what was refused and what
    was wrong under it."""
    lines = table_head(HEADINGS) + [table_row(_cells(row)) for row in result["rows"]]
    if batches := result.get("batch_rows"):
        lines += ["", "The same networks in throughput mode, all test rows as one batch:", ""]
        lines += table_head(BATCH_HEADINGS) + [table_row(_batch_cells(row)) for row in batches]
    note = (
        f"{result['networks']} networks, {result['inputs']:,} inputs encrypted under the engine, {result['outside']} "
        f"outside the bound of their bundle; {result['seal_inputs']:,} inputs under SEAL. Every network has random "
        "sizes and data, is trained, converted (30 epochs of 64 rows), compiled by default, and runs on test rows "
        "under fresh keys. Largest error / bound: of the network that has most of it, and of the one that has least. "
        "SEAL runs a tenth of the rows; where it cannot run the plan, it runs a second one, of "
        "`--backends both`, which has a bound of its own. Promised at most: the sum over networks of "
        "the promised share times the inputs. Loss of score: of accuracy, or of R2, from the "
        "plain to the converted network, over 400 test rows. Seconds of processor time and peak memory: of the "
        f"family's slowest and largest network, with training. {result['machine']['cpu']}, load "
        f"{result['machine']['load_average']:.1f} at the end, {result['machine']['date']}, `{result['command']}`."
    )
    said = [f"- {line}" for line in remarks(result)]
    return with_note(lines, "\n".join([note, *(["", *said] if said else [])]))


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _first_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells that both tables begin with."""
    return (
        row["family"],
        str(row["compiled"]),
        str(row["refused"]),
        f"{row['inputs']:,}",
        str(row["outside"]),
        _number(row["error_over_bound"], ".2f"),
    )


def _batch_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        *_first_cells(row),
        _number(row["changed"], "d"),
        _number(row["promised"], ".1f"),
    )


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        *_first_cells(row),
        _number(row["loosest_error_over_bound"], ".2f"),
        str(row["seal_networks"]),
        str(row["seal_second_plans"]),
        _number(row["seal_error_over_bound"], ".2f"),
        _number(row["changed"], "d"),
        _number(row["promised"], ".1f"),
        _number(row["score_lost"], ".3f"),
        _number(row["seconds"], ".0f"),
        _number(row["peak_mb"], ".0f"),
    )
