"""Compression rate, everything counted, against accuracy: OPQ's targets, and OPQ beside magnitude pruning with uniform quantization.

    python -m benchmarks.compression targets       rates that are asked for, trained long, distilled from the original
    python -m benchmarks.compression comparison    four rates, three seeds, the same budget and training for both methods

Every row is written to results/compression.json as soon as it is measured; rows that are there already are not measured again, so
that a run can be taken up where it stopped. Accuracy is over all 10,000 test images of MNIST.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

import cipherpress as cp
from benchmarks.machine import this_machine
from compress.accounting import account
from compress.artifact import json_bytes
from compress.magnitude import magnitude
from compress.opq import opq
from compress.target_rate import at_rate

RESULT = Path(__file__).parent / "results" / "compression.json"
METHODS = {"opq": opq, "magnitude": magnitude}
SEEDS = (0, 1, 2)

#: Network, rate, bits and epochs of the rows that aim at a rate. After OPQ, joint quantization at 8 bits holds biases to grids as well.
TARGETS = (
    ("lenet300", 65, 3, 20),
    ("lenet300", 50, 3, 20),
    ("lenet300", 35, 4, 20),
    ("lenet5", 60, 4, 20),
    ("lenet5", 100, 4, 20),
    ("lenet5", 30, 4, 20),
)
RATES = {"lenet300": (20, 40, 60, 80)}
COMPARISON_BITS, COMPARISON_EPOCHS = 4, 3
LEARNING_RATE = 8e-3


def jobs(part: str) -> Iterator[dict[str, Any]]:
    """Rows of a part, as the settings that make them."""
    if part == "targets":
        for network, rate, bits, epochs in TARGETS:
            yield {
                "part": part, "network": network, "method": "opq", "target_rate": rate, "bits": bits, "epochs": epochs,
                "seed": 0, "distilled": True, "joint": True,
            }  # fmt: skip
    else:
        for network, rates in RATES.items():
            for rate in rates:
                for seed in SEEDS:
                    for method in METHODS:
                        yield {
                            "part": part, "network": network, "method": method, "target_rate": rate,
                            "bits": COMPARISON_BITS, "epochs": COMPARISON_EPOCHS, "seed": seed, "distilled": False,
                            "joint": False,
                        }  # fmt: skip


def measured(job: dict[str, Any], data: Any) -> dict[str, Any]:
    """One row: compress to the rate, fine-tune, count, test."""
    start = perf_counter()
    plain = cp.load_model(job["network"])
    model = at_rate(METHODS[job["method"]], plain, job["target_rate"], bits=job["bits"])
    one_shot = model
    model = cp.finetune(
        model,
        data,
        epochs=job["epochs"],
        learning_rate=LEARNING_RATE,
        seed=job["seed"],
        teacher=plain if job["distilled"] else None,
        augment=True,
    )
    tuned = model.history[-1]
    after = tuned["accuracy_after"]
    if job["joint"]:
        model = cp.joint_quantize(model, data, bits=8, seed=job["seed"])
        after = model.history[-1]["accuracy_after"]
    counted = account(model)
    return {
        **job,
        "accuracy_plain": plain_accuracy(plain, data),
        "accuracy_one_shot": tuned["accuracy_before"],
        "accuracy_compressed": after,
        "compression_rate": counted["compression_rate"],
        "compression_rate_paper": counted["compression_rate_paper"],
        "sparsity": counted["sparsity"],
        "layers": [
            {
                key: row[key]
                for key in ("layer", "nonzeros", "bits", "value_encoding", "position_encoding", "total_bits")
            }
            for row in counted["layers"]
        ],
        "options": dict(one_shot.history[-1]["options"]),
        "seconds": perf_counter() - start,
    }


def plain_accuracy(module: torch.nn.Module, data: Any) -> float:
    """Accuracy on all test images."""
    from compress.training import accuracy

    return accuracy(module, data.x_test, data.y_test)


def run(part: str) -> dict[str, Any]:
    """Measure what is missing of a part."""
    torch.set_num_threads(1)
    data = cp.load_data("mnist")
    result = json.loads(RESULT.read_text()) if RESULT.is_file() else {"rows": []}
    for job in jobs(part):
        if any(all(row.get(key) == value for key, value in job.items()) for row in result["rows"]):
            continue
        result["rows"].append(measured(job, data))
        result |= {"machine": this_machine().as_json(), "test_images": len(data.x_test)}
        RESULT.write_bytes(json_bytes(result))
        RESULT.with_suffix(".md").write_text(compression_table(result))
    return result


def compression_table(result: dict[str, Any]) -> str:
    """Markdown: the targets row by row, the comparison as means over seeds."""
    rows = result["rows"]
    lines = ["### Rates that were asked for", ""]
    lines += [
        "| network | rate, everything counted | values only | sparsity | bits | plain | compressed | lost, points |"
    ]
    lines += ["|" + "---|" * 8]
    for row in (row for row in rows if row["part"] == "targets"):
        lost = 100 * (row["accuracy_plain"] - row["accuracy_compressed"])
        lines.append(
            f"| {row['network']} | {row['compression_rate']:.1f} | {row['compression_rate_paper']:.0f} | {row['sparsity']:.1%} | "
            f"{row['bits']} | {row['accuracy_plain']:.2%} | {row['accuracy_compressed']:.2%} | {lost:+.2f} |"
        )
    lines += ["", "### OPQ beside magnitude pruning at uniform rates with uniform quantization", ""]
    lines += ["| network | rate | OPQ, mean of seeds | uniform | OPQ ahead, points | seeds |", "|" + "---|" * 6]
    compared = [row for row in rows if row["part"] == "comparison"]
    for network, rate in dict.fromkeys((row["network"], row["target_rate"]) for row in compared):
        means = {}
        for method in METHODS:
            found = [
                row["accuracy_compressed"]
                for row in compared
                if (row["network"], row["target_rate"], row["method"]) == (network, rate, method)
            ]
            means[method] = (statistics.mean(found), len(found)) if found else (float("nan"), 0)
        (ours, seeds), (theirs, _) = means["opq"], means["magnitude"]
        lines.append(f"| {network} | {rate} | {ours:.2%} | {theirs:.2%} | {100 * (ours - theirs):+.2f} | {seeds} |")
    machine = result["machine"]
    lines += [
        "",
        f"All {result['test_images']} test images of MNIST. Targets: distilled from the original, then biases and activations on 8-bit "
        f"grids. Comparison: {COMPARISON_BITS} bits, {COMPARISON_EPOCHS} epochs, seeds {SEEDS}, no teacher. {machine['cpu']}, "
        f"{machine['date']}; `python -m benchmarks.compression targets`, `... comparison`.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(sys.argv[1])
