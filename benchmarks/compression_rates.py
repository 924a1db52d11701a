"""Networks that `compress_for` finds for a rate within a loss, as `cipherpress compress --target-rate --max-loss` does.

    python -m benchmarks.compression_rates [NETWORK ...]

Every choice is made on held-out training images; test images are read once, at the end. Rows are written to
results/compression-rates.json as soon as they are measured. Rows that exist are not measured again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import process_time
from typing import Any

import torch

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import has_row, read_result, table_head, table_row, with_note, write_result
from compress.dataset import Dataset

RESULT = Path(__file__).parent / "results" / "compression-rates.json"
#: Rate and points that may be lost.
ASKED = {"lenet300": (60.0, 0.3), "lenet5": (150.0, 0.4)}
SEED = 0
#: Processor seconds allowed on two cores.
ALLOWED_SECONDS = 360
HEADINGS = (
    "network", "asked", "rate", "bytes", "networks trained: rate at points lost, held out", "plain", "compressed",
    "lost, points", "one shot, untrained", "one shot, trained", "seconds",
)  # fmt: skip


def job(network: str) -> dict[str, Any]:
    """The settings of a row."""
    rate, points = ASKED[network]
    return {"network": network, "target_rate": rate, "max_loss_points": points, "seed": SEED}


def measured(settings: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """One row: the search, with its processor time, one shot included; or what was reached instead."""
    target = cp.RateTarget(rate=settings["target_rate"], max_loss_points=settings["max_loss_points"])
    start = process_time()
    try:
        model = cp.compress_for(cp.load_model(settings["network"]), data, target, seed=settings["seed"])
    except cp.BudgetError as error:
        return settings | {"not_met": str(error), "seconds": process_time() - start}
    seconds = process_time() - start
    return settings | row_of(model, seconds)


def row_of(model: cp.CompressedModel, seconds: float) -> dict[str, Any]:
    """What a row says of a network that `compress_for` found."""
    counted, record = cp.account(model), model.history[-1]
    return {
        "compression_rate": counted["compression_rate"],
        "bytes": counted["total_bits"] / 8,
        "accuracy_plain": record["accuracy_before"],
        "accuracy_compressed": record["accuracy_after"],
        "trials": record["trials"],
        "held_out": record["held_out"],
        "share_given": record["share_given"],
        "share_reference": record["share_reference"],
        "recipe": record["recipe"],
        "one_shot": record["one_shot"],
        "seconds": seconds,
    }


def run(networks: tuple[str, ...] = tuple(ASKED)) -> None:
    """Measure what is missing, and write the table."""
    torch.set_num_threads(1)
    data = cp.load_data("mnist")
    result = read_result(RESULT)
    for network in networks:
        if has_row(result, job(network)):
            continue
        result["rows"].append(measured(job(network), data))
        result |= {"machine": this_machine().as_json(), "test_images": len(data.x_test)}
        write_result(RESULT, result, table(result))


def table(result: dict[str, Any]) -> str:
    """Markdown: one line per network."""
    lines = table_head(HEADINGS)
    for row in sorted(result["rows"], key=lambda row: str(row["network"])):
        asked = f"{row['target_rate']:g} within {row['max_loss_points']:g}"
        seconds = f"{row['seconds']:.0f}"
        if "not_met" in row:
            lines.append(table_row([row["network"], asked, "-", "-", row["not_met"], *"------", seconds]))
            continue
        shot = row["one_shot"]
        trials = ", ".join(f"{trial['rate']:.1f} at {trial['loss_points']:+.2f}" for trial in row["trials"])
        shots = ("-", "-") if shot is None else (f"{shot['share_untrained']:.2%}", f"{shot['share']:.2%}")
        lost = 100 * (row["accuracy_plain"] - row["accuracy_compressed"])
        size = (f"{row['compression_rate']:.1f}", f"{row['bytes']:.0f}")
        accuracies = (f"{row['accuracy_plain']:.2%}", f"{row['accuracy_compressed']:.2%}", f"{lost:+.2f}")
        lines.append(table_row([row["network"], asked, *size, trials, *accuracies, *shots, seconds]))
    machine = result["machine"]
    note = (
        "Accuracy on all test images, everything counted, activations on grids of 8 bits. Points lost on held-out "
        "images are counted from the uncompressed network, trained without them. One shot: the same rate from the "
        "given network in one step of OPQ, and after as many epochs as follow each shot of the search. Seconds: "
        f"processor time of one thread; {ALLOWED_SECONDS} are allowed on two cores. Load "
        f"{machine['load_average']:.1f} at the end, which lengthens them. {result['test_images']} test images of "
        f"MNIST. {machine['cpu']}, {machine['date']}; `python -m benchmarks.compression_rates`."
    )
    return with_note(lines, note)


if __name__ == "__main__":
    run(tuple(sys.argv[1:]) or tuple(ASKED))
