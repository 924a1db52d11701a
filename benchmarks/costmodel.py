"""Validation of the cost model: published and measured rows, the model's figure for each, and what the row was used
for.

    cipherpress bench costmodel -o out/bench
    python -m benchmarks.costmodel                    (puts the committed result into docs/hwmodel.md)

Published rows need arithmetic alone. A row used for calibration is marked and left out of the errors. This project's
own encrypted runs are measured on this machine, which takes about ten minutes with --images 20, half an hour with the
default of 100, and 16 GB of memory for the keys of the largest plan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.costmodel_ckks import ASIC, GPU, POWER, ckks_rows
from benchmarks.costmodel_plain import LAYERS, NETWORKS, plain_rows
from benchmarks.costmodel_row import summary
from benchmarks.costmodel_runs import FAMILIES as OWN_RUNS
from benchmarks.costmodel_runs import run_rows
from benchmarks.machine import this_machine
from benchmarks.report import table_head, table_row, write_result
from compress.artifact import write_file
from compress.dataset import Progress

#: Targets: the largest geometric-mean error of held-out rows.
TARGETS = {LAYERS: 0.15, NETWORKS: 0.20, GPU: 0.25, ASIC: 0.25, POWER: 0.30, **dict.fromkeys(OWN_RUNS, 0.10)}
RESULT = Path(__file__).parent / "results" / "costmodel.json"
DOCS = Path(__file__).parents[1] / "docs" / "hwmodel.md"
BEGIN, END = "<!-- validation: begin -->", "<!-- validation: end -->"
HEADINGS = ("row", "quantity", "published", "modelled", "unit", "ratio", "used for", "mark", "note")


def run(output: Path, *, images: int = 20, progress: Progress | None = None) -> dict[str, Any]:
    """Compare every row and write costmodel.json and costmodel.md into `output`. images: in each measured run."""
    say = progress or (lambda label, share: None)
    say("published rows", 0.0)
    rows = [*plain_rows(), *ckks_rows(), *run_rows(images, say)]
    result = {
        "machine": this_machine().as_json(),
        "command": "cipherpress bench costmodel -o DIR",
        "rows": [row.as_json() for row in rows],
        "families": summary(rows, TARGETS),
    }
    output = Path(output)
    write_result(output / "costmodel.json", result, costmodel_table(result))
    return result


def costmodel_table(result: Mapping[str, Any]) -> str:
    """Markdown: the families with their errors, then every row."""
    lines = table_head(("family", "rows held out", "geometric-mean error", "target", "met"))
    for family in result["families"]:
        target = "" if family["target"] is None else f"{family['target']:.0%}"
        met = {True: "yes", False: "no", None: ""}[family["met"]]
        lines.append(
            f"| {family['family']} | {family['held_out']} | {family['geometric_mean_error']:.1%} | {target} | {met} |"
        )
    for family in result["families"]:
        lines += ["", f"**{family['family']}**", ""]
        lines += table_head(HEADINGS)
        lines += [_line(row) for row in result["rows"] if row["family"] == family["family"]]
        sources = dict.fromkeys(row["source"] for row in result["rows"] if row["family"] == family["family"])
        lines += ["", f"Source: {'; '.join(sources)}."]
    machine = result["machine"]
    lines += ["", f"`{result['command']}`, {machine['cpu']}, load {machine['load_average']:.1f}, {machine['date']}."]
    return "\n".join(lines) + "\n"


def _line(row: Mapping[str, Any]) -> str:
    cells = (
        row["row"],
        row["quantity"],
        f"{row['published']:.4g}",
        f"{row['modelled']:.4g}",
        row["unit"],
        f"{row['ratio']:.2f}",
        row["use"],
        row["mark"] if row["kind"] == "published" else f"measured, {row['mark']}",
        row["note"],
    )
    return table_row(cells)


def with_table(text: str, result: Mapping[str, Any]) -> str:
    """A page with the table of a result between its marks."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{costmodel_table(result)}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    page = with_table(DOCS.read_text(encoding="utf-8"), json.loads(RESULT.read_bytes()))
    write_file(DOCS, page.encode(), force=True)
