"""Joint power-of-two quantization of every zoo network: accuracy at 8, 6 and 4 bits, and integers against simulation.

    cipherpress bench joint -o out/bench          (or: python -m benchmarks.joint out/bench)

Nothing is trained: grids come from 256 training images (seed 0). Accuracy is that of the fake-quantized network over
all test images; the integer-only network equals it bit for bit on the first 1,000. A small residual network, trained
here for one epoch with seed 0, shows how many quantization operations a graph with shortcuts saves. Times are processor
time of one thread, which other work on the machine affects less. A network whose data set is not on this machine
(CIPHERPRESS_DATA says where Fashion-MNIST is) is listed as not measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.machine import this_machine
from benchmarks.report import table_head, table_row, with_note, write_result
from compress.dataset import Dataset, Progress
from compress.errors import DataError
from compress.joint.executable import joint_network
from compress.joint.quantize import joint_quantize
from compress.training.loop import fit_
from compress.training.schedule import Schedule

NETWORKS = ("mlp", "cnn", "lenet300", "lenet5", "lenet5-caffe", "vit", "vit-fashion")
RESIDUAL = "residual"
BITS = (8, 6, 4)
EXACT_IMAGES = 1000
HEADINGS = (
    "network",
    "bits",
    "plain",
    "quantized",
    "lost, points",
    "quantization operations",
    "integers equal",
    "processor seconds to quantize",
    "processor milliseconds an image, in integers",
)


class Residual(nn.Module):
    """Two convolutions with normalization and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + x)


def residual_network() -> nn.Module:
    """A stem, two residual blocks and a classifier, 28x28 to 10."""
    stem = [nn.Conv2d(1, 8, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    head = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 49, 10)]
    return nn.Sequential(*stem, Residual(8), Residual(8), *head)


def run(output: Path, *, images: int = EXACT_IMAGES, progress: Progress | None = None) -> dict[str, Any]:
    """Quantize every network at every width, and write joint.json and joint.md into `output`.

    images: number of test images that the integer-only network also runs.
    """
    from cipherpress.zoo.datasets import load_data
    from cipherpress.zoo.loading import load_model
    from cipherpress.zoo.networks import ZOO

    say = progress or (lambda label, share: None)
    torch.set_num_threads(1)
    names = (*NETWORKS, RESIDUAL)
    rows: list[dict[str, Any]] = []
    for done, name in enumerate(names):
        try:
            data = load_data("mnist" if name == RESIDUAL else ZOO[name].data)
        except DataError as error:
            rows.append({"network": name, "missing": str(error)})
            continue
        module = _trained(data) if name == RESIDUAL else load_model(name)
        for turn, bits in enumerate(BITS):
            say(f"{name}, {bits} bits", (done + turn / len(BITS)) / len(names))
            rows.append({"network": name, "data": data.name, "bits": bits, **measured(module, data, bits, images)})
    result = {
        "machine": this_machine().as_json(),
        "command": f"cipherpress bench joint --images {images} -o DIR",
        "integer_images": images,
        "rows": rows,
    }
    output = Path(output)
    write_result(output / "joint.json", result, joint_table(result))
    return result


def measured(module: nn.Module, data: Dataset, bits: int, images: int) -> dict[str, Any]:
    """One network at one width."""
    start = process_time()
    model = joint_quantize(module, data, bits=bits)
    seconds = process_time() - start
    last = model.history[-1]
    network = joint_network(model)
    sample = np.asarray(data.x_test[:images], dtype=np.float64)
    start = process_time()
    integers = network.run_integer(sample)
    integer_seconds = process_time() - start
    return {
        "test_images": len(data.x_test),
        "accuracy_plain": last["accuracy_before"],
        "accuracy_compressed": last["accuracy_after"],
        "quantization_points_before": last["quantization_points_before"],
        "quantization_points_after": last["quantization_points_after"],
        "integers_equal": bool(np.array_equal(network.run_fake(sample), integers)),
        "seconds": seconds,
        "integer_ms_an_image": 1000 * integer_seconds / len(sample),
    }


def joint_table(result: dict[str, Any]) -> str:
    """Markdown, with machine, date and command under it."""
    lines = table_head(HEADINGS)
    for row in result["rows"]:
        if "missing" in row:
            lines.append(f"| {row['network']} |" + " |" * (len(HEADINGS) - 2) + f" not measured: {row['missing']} |")
            continue
        lost = 100 * (row["accuracy_plain"] - row["accuracy_compressed"])
        cells = (
            row["network"],
            str(row["bits"]),
            f"{row['accuracy_plain']:.2%}",
            f"{row['accuracy_compressed']:.2%}",
            f"{lost:+.2f}",
            f"{row['quantization_points_before']} -> {row['quantization_points_after']}",
            "yes" if row["integers_equal"] else "NO",
            f"{row['seconds']:.1f}",
            f"{row['integer_ms_an_image']:.2f}",
        )
        lines.append(table_row(cells))
    machine = result["machine"]
    tested = sorted({row["test_images"] for row in result["rows"] if "missing" not in row})
    note = (
        f"Accuracy over all {' or '.join(map(str, tested))} test images, integers against simulation over "
        f"{result['integer_images']} of them. The integer run is numpy's, a reference, not a fast one. "
        f"{machine['cpu']}, one thread, load {machine['load_average']:.1f} at the end, {machine['date']}, "
        f"`{result['command']}`."
    )
    return with_note(lines, note)


def _trained(data: Dataset) -> nn.Module:
    """The residual network after one epoch."""
    torch.manual_seed(0)
    module = residual_network()
    fit_(
        module,
        torch.from_numpy(data.x_train),
        torch.from_numpy(data.y_train),
        Schedule(epochs=1, learning_rate=5e-3),
        loss=lambda outputs, labels, images: F.cross_entropy(outputs, labels),
        seed=0,
    )
    return module.eval()


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))["rows"], indent=1))
