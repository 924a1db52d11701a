"""Compression rate, everything counted, against accuracy: OPQ's targets, and OPQ beside magnitude pruning.

    python -m benchmarks.compression targets       OPQ by curvature in many shots, trained long: high rates, and rates
                                                   that lose no accuracy
    python -m benchmarks.compression comparison    OPQ and magnitude pruning with uniform quantization: four rates,
                                                   three seeds, the same budget and training
    python -m benchmarks.compression converted     five bits per weight and polynomials, by the zoo's conversion
    settings

Every row is written to results/compression-PART.json as soon as it is measured. Rows that exist are not measured again,
so a run continues where it stopped. Accuracy is over all 10,000 test images of MNIST.

The settings of the targets were found by trials, which trained on the first 50,000 training images and compared
accuracy on the other 10,000. Those of `lenet5` at a learning rate below 0.008 were tried here, one after the other, and
every one of them is a row.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import has_row, read_result, table_head, table_row, with_note, write_result
from cipherpress.zoo.presets import press_setting
from compress.account.accounting import account
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.opq.baseline import magnitude
from compress.opq.opq import opq
from compress.opq.shots import opq_in_shots, rising_shots
from compress.opq.target_rate import at_rate
from compress.rate.finish import finished
from compress.training.loop import accuracy

RESULTS = Path(__file__).parent / "results"
#: Network and sparsity that are converted, and mean bits of a surviving weight.
CONVERTED = {"mlp": 0.4, "cnn": 0.5}
CONVERTED_BITS = 5
METHODS = {"opq": opq, "magnitude": magnitude}
SEEDS = (0, 1, 2)
TARGET_HEADINGS = (
    "network", "rate, everything counted", "bytes", "values only", "sparsity", "bits", "shots, epochs", "plain",
    "compressed", "lost, points", "seconds",
)  # fmt: skip
COMPARISON_HEADINGS = (
    "network", "rate asked", "OPQ's rate", "OPQ", "uniform's rate", "uniform", "uniform at OPQ's rate",
    "OPQ ahead, points", "seeds",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A row of the targets: what the last shot of OPQ is asked for, and how earlier shots rise and are trained."""

    network: str
    sparsity: float
    bits: float
    shots: int
    epochs_between: int
    epochs: int
    learning_rate: float
    shrinkage: float
    bias_bits: int
    distilled: bool = False
    seed: int = 0


TARGETS = (
    Target("lenet5-caffe", 0.975, 4, 4, 1, 5, 0.008, 0.02, 8),
    Target("lenet300", 0.9, 4, 5, 3, 18, 0.008, 0.01, 8),
    Target("lenet5", 0.971, 3.5, 5, 3, 15, 0.016, 0.035, 6),
    Target("lenet5", 0.973, 3.5, 5, 3, 15, 0.016, 0.03, 5),
    Target("lenet5", 0.973, 3.5, 5, 3, 15, 0.016, 0.03, 7),  # biases of five bits cost 0.06 points
    Target("lenet5", 0.9, 5, 4, 3, 36, 0.008, 0.01, 8, distilled=True),
    Target("lenet5", 0.9, 5, 4, 3, 36, 0.008, 0.01, 8, distilled=True, seed=1),
    Target("lenet5", 0.9, 5, 4, 3, 36, 0.008, 0.01, 8, distilled=True, seed=2),
    Target("lenet5", 0.85, 5, 4, 3, 36, 0.008, 0.01, 8, distilled=True),
    Target("lenet5", 0.8, 5, 4, 3, 36, 0.008, 0.01, 8, distilled=True),
    Target("lenet5", 0.8, 5, 4, 3, 12, 0.002, 0.01, 8, distilled=True),
    Target("lenet5", 0.8, 5, 4, 3, 12, 0.0007, 0.0, 8, distilled=True),
    Target("lenet5", 0.85, 5, 4, 3, 12, 0.002, 0.01, 8, distilled=True),
    Target("lenet5", 0.9, 5, 4, 3, 12, 0.002, 0.01, 8, distilled=True),
    Target("lenet5", 0.65, 5, 4, 3, 12, 0.002, 0.01, 8, distilled=True),
    Target("lenet300", 0.65, 5, 5, 3, 18, 0.008, 0.01, 8, distilled=True),
    Target("lenet300", 0.85, 4, 5, 3, 32, 0.008, 0.01, 8, distilled=True),
)
#: Higher than the default of `opq`: fine-tuning between the shots shows which weights a layer does not need.
TARGET_CAP = 0.998
ACTIVATION_BITS = 8
RATES = {"lenet300": (20, 40, 60, 80)}
COMPARISON_BITS, COMPARISON_EPOCHS = 4, 3
LEARNING_RATE = 8e-3


def jobs(part: str) -> Iterator[dict[str, Any]]:
    """Rows of a part, as the settings that make them."""
    if part == "targets":
        for target in TARGETS:
            yield {"part": part, **asdict(target)}
    elif part == "converted":
        for network, sparsity in CONVERTED.items():
            settings = press_setting(network)
            yield {
                "part": part, "network": network, "sparsity": sparsity, "bits": CONVERTED_BITS, "seed": 0,
                "finetune_epochs": settings.finetune_epochs, "conversion": asdict(settings.conversion),
            }  # fmt: skip
    else:
        for network, rates in RATES.items():
            for rate in rates:
                for seed in SEEDS:
                    for method in METHODS:
                        yield {
                            "part": part, "network": network, "method": method, "target_rate": rate,
                            "bits": COMPARISON_BITS, "epochs": COMPARISON_EPOCHS, "seed": seed, "shots": 1,
                        }  # fmt: skip


def target_row(job: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """OPQ in shots, dead units cleared, biases and activations put on grids; the result is counted and tested."""
    start = process_time()
    plain = cp.load_model(job["network"])
    shots = rising_shots(
        job["sparsity"], job["bits"], shots=job["shots"], epochs_between=job["epochs_between"], epochs=job["epochs"]
    )
    tuned = opq_in_shots(
        plain, data, shots, cap=TARGET_CAP, learning_rate=job["learning_rate"], shrinkage=job["shrinkage"],
        teacher=plain if job["distilled"] else None, augment=True, seed=job["seed"],
    )  # fmt: skip
    model = finished(tuned, data, activation_bits=ACTIVATION_BITS, bias_bits=job["bias_bits"], seed=job["seed"])
    seconds = process_time() - start
    return {
        **job,
        "accuracy_plain": accuracy(plain, data.x_test, data.y_test),
        "accuracy_float": tuned.history[-1]["accuracy_after"],
        "accuracy_compressed": model.history[-1]["accuracy_after"],
        **_counted(model),
        "seconds": seconds,
    }


def comparison_row(job: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """One method to the rate in one shot, fine-tuned, counted and tested."""
    start = process_time()
    plain = cp.load_model(job["network"])
    shot = at_rate(METHODS[job["method"]], plain, job["target_rate"], bits=job["bits"])
    model = cp.finetune(
        shot, data, epochs=job["epochs"], learning_rate=LEARNING_RATE, seed=job["seed"], augment=True
    )  # fmt: skip
    seconds = process_time() - start
    return {
        **job,
        "accuracy_plain": accuracy(plain, data.x_test, data.y_test),
        "accuracy_one_shot": model.history[-1]["accuracy_before"],
        "accuracy_compressed": model.history[-1]["accuracy_after"],
        **_counted(model),
        "options": dict(shot.history[-1]["options"]),
        "seconds": seconds,
    }


def converted_row(job: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """OPQ, fine-tuned and converted to polynomials, with the accuracy of each of the three networks."""
    start = process_time()
    plain = cp.load_model(job["network"])
    small = cp.finetune(
        cp.opq(plain, sparsity=job["sparsity"], bits=job["bits"]), data, epochs=job["finetune_epochs"], augment=True,
        seed=job["seed"],
    )  # fmt: skip
    network = cp.convert(small, data, Conversion(**job["conversion"]), augment=True, seed=job["seed"])
    seconds = process_time() - start
    return {
        **job,
        "accuracy_plain": accuracy(plain, data.x_test, data.y_test),
        "accuracy_compressed": small.history[-1]["accuracy_after"],
        "accuracy_converted": network.about["accuracy_after"],
        **_counted(small),
        "seconds": seconds,
    }


def _counted(model: cp.CompressedModel) -> dict[str, Any]:
    counted = account(model)
    keys = ("layer", "nonzeros", "bits", "value_encoding", "position_encoding", "total_bits")
    return {
        "compression_rate": counted["compression_rate"],
        "compression_rate_paper": counted["compression_rate_paper"],
        "bytes": counted["total_bits"] / 8,
        "zero_share": counted["sparsity"],
        "layers": [{key: row[key] for key in keys} for row in counted["layers"]],
    }


ROWS = {"targets": target_row, "comparison": comparison_row, "converted": converted_row}


def run(part: str) -> dict[str, Any]:
    """Measure what is missing of a part."""
    torch.set_num_threads(1)
    data = cp.load_data("mnist")
    path = RESULTS / f"compression-{part}.json"
    result = read_result(path)
    for job in jobs(part):
        if has_row(result, job):
            continue
        result["rows"].append(ROWS[part](job, data))
        result |= {"machine": this_machine().as_json(), "test_images": len(data.x_test)}
        write_result(path, result, TABLES[part](result))
    return result


def targets_table(result: dict[str, Any]) -> str:
    """Markdown: one line per row."""
    lines = table_head(TARGET_HEADINGS)
    for row in sorted(result["rows"], key=lambda row: (row["network"], -row["compression_rate"])):
        lost = 100 * (row["accuracy_plain"] - row["accuracy_compressed"])
        epochs = (row["shots"] - 1) * row["epochs_between"] + row["epochs"]
        lines.append(
            f"| {row['network']} | {row['compression_rate']:.1f} | {row['bytes']:.0f} | "
            f"{row['compression_rate_paper']:.0f} | {row['zero_share']:.1%} | {row['bits']:g} | "
            f"{row['shots']}, "
            f"{epochs} | {row['accuracy_plain']:.2%} | {row['accuracy_compressed']:.2%} | {lost:+.2f} | "
            f"{row['seconds']:.0f} |"
        )
    note = (
        "OPQ is weighted by curvature and prunes more from shot to shot, with fine-tuning after each. Then dead units "
        f"are cleared, and biases and activations are put on grids of {ACTIVATION_BITS} bits (biases of some rows on "
        "fewer); the accuracy includes this. Settings and seeds are in the JSON file. Seconds: processor time of one "
        "thread."
    )
    return with_note(lines, f"{note} {_where(result, 'targets')}")


def comparison_table(result: dict[str, Any]) -> str:
    """Markdown: means over seeds.

    Fine-tuning moves some codes to zero, so the two methods end at different rates. The difference is taken at OPQ's
    rate, where the other method's accuracy is interpolated between its rows.
    """
    lines = table_head(COMPARISON_HEADINGS)
    for network in dict.fromkeys(row["network"] for row in result["rows"]):
        found = {method: _by_rate(result["rows"], network, method) for method in METHODS}
        theirs = sorted((point[:2] for point in found["magnitude"].values()), key=lambda point: point[0])
        for asked in sorted(found["opq"].keys() & found["magnitude"].keys()):
            rate, accurate, seeds = found["opq"][asked]
            uniform_rate, uniform, others = found["magnitude"][asked]
            cells = [network, str(asked), f"{rate:.1f}", f"{accurate:.2%}", f"{uniform_rate:.1f}", f"{uniform:.2%}"]
            if theirs[0][0] <= rate <= theirs[-1][0]:
                there = float(np.interp(rate, *zip(*theirs, strict=True)))
                cells += [f"{there:.2%}", f"{100 * (accurate - there):+.2f}"]
            else:
                cells += ["-", "-"]
            lines.append(table_row([*cells, str(min(seeds, others))]))
    note = (
        "OPQ in one shot beside magnitude pruning at one rate for all layers with uniform quantization. Both have the "
        f"sparsity that reaches the rate asked, {COMPARISON_BITS} bits and {COMPARISON_EPOCHS} epochs on fixed masks "
        "and codebooks without a teacher. Means over seeds. Rates are those after fine-tuning, everything counted."
    )
    return with_note(lines, f"{note} {_where(result, 'comparison')}")


def converted_table(result: dict[str, Any]) -> str:
    """Markdown: one line per row."""
    lines = table_head(("network", "bits", "plain", "compressed", "converted", "lost in all, points", "seconds"))
    for row in result["rows"]:
        lost = 100 * (row["accuracy_plain"] - row["accuracy_converted"])
        lines.append(
            f"| {row['network']} | {row['bits']:g} | {row['accuracy_plain']:.2%} | {row['accuracy_compressed']:.2%} | "
            f"{row['accuracy_converted']:.2%} | {lost:+.2f} | {row['seconds']:.0f} |"
        )
    note = "Bits: mean per surviving weight. Seconds: processor time of one thread for fine-tuning and conversion."
    return with_note(lines, f"{note} {_where(result, 'converted')}")


def _by_rate(rows: list[dict[str, Any]], network: str, method: str) -> dict[int, tuple[float, float, int]]:
    """Rate asked -> (rate reached, accuracy, seeds), means over seeds."""
    named = [row for row in rows if (row["network"], row["method"]) == (network, method)]
    result = {}
    for asked in dict.fromkeys(row["target_rate"] for row in named):
        same = [row for row in named if row["target_rate"] == asked]
        rate, accurate = (
            statistics.mean(row[key] for row in same) for key in ("compression_rate", "accuracy_compressed")
        )
        result[asked] = (rate, accurate, len(same))
    return result


def _where(result: dict[str, Any], part: str) -> str:
    machine = result["machine"]
    return (
        f"All {result['test_images']} test images of MNIST. {machine['cpu']}, {machine['date']}; "
        f"`python -m benchmarks.compression {part}`."
    )


TABLES = {"targets": targets_table, "comparison": comparison_table, "converted": converted_table}

if __name__ == "__main__":
    run(sys.argv[1])
