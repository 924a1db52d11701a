"""Seconds that each compression method takes on each trained network of the zoo, on one core: at most 180 are allowed on two.

    python -m benchmarks.compression_times [NETWORK ...]

With the settings of `cipherpress compress`, two epochs of fine-tuning after opq and blocks included; accuracy is not the point here.
Rows are written to results/compression-times.json as soon as they are measured; rows that are there already are not measured again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

import cipherpress as cp
from benchmarks.machine import this_machine
from compress.artifact import json_bytes
from compress.errors import UnsupportedLayerError

RESULT = Path(__file__).parent / "results" / "compression-times.json"
#: vit-fashion is vit with other weights.
NETWORKS = ("mlp", "cnn", "lenet300", "lenet5", "vit")
EPOCHS, SEED = 2, 0
ALLOWED_SECONDS = 180
METHODS: Mapping[str, Callable[[Any, Any], Any]] = {
    "opq": lambda model, data: cp.opq(model, sparsity=0.5, bits=5),
    "blocks, residue:128": lambda model, data: cp.prune_blocks(model, data, sparsity=0.5, seed=SEED),
    "blocks, tile:4x4": lambda model, data: cp.prune_blocks(
        model, data, sparsity=0.5, block="tile:4x4", cost="plain-blocks", seed=SEED
    ),
    "joint": lambda model, data: cp.joint_quantize(model, data, bits=8, seed=SEED),
}


def measured(network: str, method: str, data: Any) -> dict[str, Any]:
    """One row: seconds of the method, and of the fine-tuning that the command line does after it."""
    row = {"network": network, "method": method, "threads": torch.get_num_threads()}
    model = cp.load_model(network)
    start = perf_counter()
    try:
        small = METHODS[method](model, data)
    except UnsupportedLayerError as error:
        return {**row, "refused": str(error)}
    row["seconds"] = perf_counter() - start
    if method != "joint":
        start = perf_counter()
        cp.finetune(small, data, epochs=EPOCHS, augment=True, seed=SEED)
        row["finetune_seconds"] = perf_counter() - start
    return row


def run(networks: tuple[str, ...] = NETWORKS) -> None:
    """Measure what is missing, and write the table."""
    torch.set_num_threads(1)
    data = cp.load_data("mnist")
    result = json.loads(RESULT.read_text()) if RESULT.is_file() else {"rows": []}
    for network in networks:
        for method in METHODS:
            if any((row["network"], row["method"]) == (network, method) for row in result["rows"]):
                continue
            result["rows"].append(measured(network, method, data))
            result["machine"] = this_machine().as_json()
            RESULT.write_bytes(json_bytes(result))
            RESULT.with_suffix(".md").write_text(table(result))


def table(result: Mapping[str, Any]) -> str:
    """Markdown: a row a network, method and fine-tuning in one cell."""
    rows = result["rows"]
    lines = [f"| network | {' | '.join(METHODS)} |", "|" + "---|" * (1 + len(METHODS))]
    for network in dict.fromkeys(row["network"] for row in rows):
        found = {row["method"]: _cell(row) for row in rows if row["network"] == network}
        lines.append(f"| {network} | {' | '.join(found.get(method, '-') for method in METHODS)} |")
    machine = result["machine"]
    slowest = max(row["seconds"] + row.get("finetune_seconds", 0.0) for row in rows if "seconds" in row)
    note = (
        f"Seconds on one core: the method, then {EPOCHS} epochs of fine-tuning where the command line does them. The slowest takes "
        f"{slowest:.0f} of the {ALLOWED_SECONDS} allowed. {machine['cpu']}, {machine['date']}; `python -m benchmarks.compression_times`."
    )
    return "\n".join([*lines, "", note]) + "\n"


def _cell(row: Mapping[str, Any]) -> str:
    if "refused" in row:
        return "refused"
    tuning = f" + {row['finetune_seconds']:.0f}" if "finetune_seconds" in row else ""
    return f"{row['seconds']:.1f}{tuning}"


if __name__ == "__main__":
    run(tuple(sys.argv[1:]) or NETWORKS)
