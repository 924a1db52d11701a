"""What OPQ's objective "encrypted" saves over "storage" at the same mean bits: scale bits of codes and of the plan.

    python -m benchmarks.objective [NETWORK ...]

Every variant is pressed alike (`benchmarks.savings`) and compiled with the committed kernel times. Nothing is
encrypted. Rows are written to results/objective.json as soon as they are measured. Rows that exist are not measured
again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from math import log2
from pathlib import Path
from typing import Any

import torch

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import has_row, read_result, table_head, with_note, write_result
from benchmarks.savings import SEED, Recipe, pressed
from compress.conversion.calibrate import network_accuracy
from compress.dataset import Dataset
from compress.opq.opq import allocation_table
from secure.plan import Kind, Plan

RESULT = Path(__file__).parent / "results" / "objective.json"
NETWORKS = ("mlp",)
HEADINGS = (
    "network", "mean bits", "mean per", "bits by layer", "stored bits", "converted", "log2 QP",
    "plaintext scale bits", "bound on the logits' error",
)  # fmt: skip
SPARSITY = 0.5
MEAN_BITS = (3, 4.5)
OBJECTIVES = ("storage", "encrypted")


def jobs(networks: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The settings of every row."""
    for network in networks:
        for bits in MEAN_BITS:
            for objective in OBJECTIVES:
                yield {"network": network, "bits": bits, "objective": objective}


def measured(job: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """One row: OPQ, an epoch on the codebook, conversion, a plan."""
    small = cp.opq(cp.load_model(job["network"]), sparsity=SPARSITY, bits=job["bits"], objective=job["objective"])
    tuned = partial(cp.finetune, small, epochs=1, augment=True, seed=SEED)
    network, bundle = pressed(job["network"], Recipe(job["objective"], (lambda model, images: tuned(images),)), data)
    rows = allocation_table(small)
    return {
        **job,
        "layer_bits": [row["bits"] for row in rows],
        "stored_bits": sum(row["bits"] * (row["weights"] - row["pruned"]) for row in rows),
        "plaintext_scale_bits": plaintext_scale_bits(bundle.server.plan),
        "accuracy": network_accuracy(network, data.x_test, data.y_test),
        "log2_qp": bundle.client.params.log2_qp,
        "poly_modulus_degree": bundle.client.params.poly_modulus_degree,
        "predicted_server_ms": bundle.report["predicted_server_ms"],
        "predicted_logit_error": bundle.client.predicted_logit_error,
    }


def plaintext_scale_bits(plan: Plan) -> float:
    """Sum over layers of log2 of the largest scale that its weights are encoded at."""
    scales: dict[str, float] = {}
    for op in plan.ops:
        if op.kind is Kind.MULTIPLY_PLAIN:
            scales[op.layer] = max(scales.get(op.layer, 0.0), plan.constants[op.constant].scale)
    return sum(map(log2, scales.values()))


def run(networks: tuple[str, ...] = NETWORKS) -> None:
    """Measure what is missing, and write the table."""
    torch.set_num_threads(1)
    data = cp.load_data("mnist")
    result = read_result(RESULT)
    for job in jobs(networks):
        if has_row(result, job):
            continue
        result["rows"].append(measured(job, data))
        result |= {"machine": this_machine().as_json(), "test_images": len(data.x_test)}
        write_result(RESULT, result, table(result))


def table(result: dict[str, Any]) -> str:
    """Markdown: one line per row."""
    lines = table_head(HEADINGS)
    for row in result["rows"]:
        unit = "weight (storage)" if row["objective"] == "storage" else "layer (encrypted)"
        lines.append(
            f"| {row['network']} | {row['bits']:g} | {unit} | {' '.join(map(str, row['layer_bits']))} = "
            f"{sum(row['layer_bits'])} | {row['stored_bits']} | {row['accuracy']:.2%} | {row['log2_qp']:.1f} | "
            f"{row['plaintext_scale_bits']:.1f} | {row['predicted_logit_error']:.3f} |"
        )
    machine = result["machine"]
    note = (
        f"OPQ at {SPARSITY:.0%}, one epoch on the codebook, and the zoo's conversion. Accuracy is over all "
        f"{result['test_images']} test images, seed {SEED}. {machine['cpu']}, {machine['date']}; `python -m "
        "benchmarks.objective`."
    )
    return with_note(lines, note)


if __name__ == "__main__":
    run(tuple(sys.argv[1:]) or NETWORKS)
