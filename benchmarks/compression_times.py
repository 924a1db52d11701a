"""Seconds that each compression method takes on each trained network of the zoo, on one core; 180 are allowed on two.

    python -m benchmarks.compression_times [NETWORK ...]

Settings are those of `cipherpress compress`. Its two epochs of fine-tuning after opq and blocks are timed once per
network. Rows are written to results/compression-times.json as soon as they are measured. Rows that exist are not
measured again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import torch

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import has_row, read_result, table_head, with_note, write_result
from compress.dataset import Dataset

RESULT = Path(__file__).parent / "results" / "compression-times.json"
#: vit-fashion is vit with other weights.
NETWORKS = ("mlp", "cnn", "lenet300", "lenet5", "vit", "lenet5-caffe")
EPOCHS, SEED = 2, 0
#: Processor time of one thread, which does not include other work on the core.
CLOCK = "processor"
ALLOWED_SECONDS = 180
METHODS: Mapping[str, Callable[[Any, Any], Any]] = {
    "opq": lambda model, data: cp.opq(model, sparsity=0.5, bits=5),
    "blocks, residue:128": lambda model, data: cp.prune_blocks(model, data, sparsity=0.5, seed=SEED),
    "blocks, tile:4x4": lambda model, data: cp.prune_blocks(
        model, data, sparsity=0.5, block="tile:4x4", cost="plain-blocks", seed=SEED
    ),
    "joint": lambda model, data: cp.joint_quantize(model, data, bits=8, seed=SEED),
}


def measured(network: str, method: str, data: Dataset) -> dict[str, Any]:
    """One row: seconds of the method, and for opq also those of fine-tuning, which takes as long after any method."""
    row = {"network": network, "method": method, "threads": torch.get_num_threads(), "clock": CLOCK}
    model = cp.load_model(network)
    start = process_time()
    small = METHODS[method](model, data)
    row["seconds"] = process_time() - start
    if method == "opq":
        start = process_time()
        cp.finetune(small, data, epochs=EPOCHS, augment=True, seed=SEED)
        row["finetune_seconds"] = process_time() - start
    return row


def run(networks: tuple[str, ...] = NETWORKS) -> None:
    """Measure what is missing, and write the table."""
    torch.set_num_threads(1)
    data = cp.load_data("mnist")
    result = read_result(RESULT)
    for network in networks:
        for method in METHODS:
            if has_row(result, {"network": network, "method": method}):
                continue
            result["rows"].append(measured(network, method, data))
            result["machine"] = this_machine().as_json()
            write_result(RESULT, result, table(result))


def table(result: Mapping[str, Any]) -> str:
    """Markdown: one row per network."""
    rows = result["rows"]
    lines = table_head(["network", *METHODS, f"{EPOCHS} epochs of fine-tuning", "slowest, with fine-tuning"])
    for network in dict.fromkeys(row["network"] for row in rows):
        found = {row["method"]: row for row in rows if row["network"] == network}
        tuning = found["opq"]["finetune_seconds"]
        slowest = max(row["seconds"] + (0 if method == "joint" else tuning) for method, row in found.items())
        cells = [_cell(found.get(method)) for method in METHODS]
        lines.append(f"| {network} | {' | '.join(cells)} | {tuning:.1f} | {slowest:.0f} |")
    machine = result["machine"]
    note = (
        f"Processor seconds of one thread; {ALLOWED_SECONDS} are allowed on two cores. *: an earlier run, measured by "
        f"the wall clock on a core that other work shared. {machine['cpu']}, load "
        f"{machine['load_average']:.1f} at the end, {machine['date']}; "
        "`python -m benchmarks.compression_times`."
    )
    return with_note(lines, note)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    return f"{row['seconds']:.1f}" + ("" if row.get("clock") == CLOCK else "*")


if __name__ == "__main__":
    run(tuple(sys.argv[1:]) or NETWORKS)
