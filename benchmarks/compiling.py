"""Time and peak memory of compiling, network by network: each in a fresh process that is pinned to one core.

    cipherpress bench compiling -o DIR

Networks have random weights and are calibrated on 512 random inputs, as many as `cipherpress.compile` takes. Processor
seconds are those of the process while it compiles; they do not grow when the machine is busy. The peak is the largest
resident set of the process, with Python and its libraries.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.compile_networks import cnn, dense, gated_skip, one_conv, residual
from benchmarks.machine import this_machine
from benchmarks.own_process import in_own_process
from benchmarks.report import table_head, table_row, with_note, write_result
from cipherpress.timing.cache import default_times
from compress.dataset import Progress
from compress.errors import CompileError
from compress.network import Network
from secure.compiling.compile import compile_network
from secure.compiling.estimate import estimate, stage_sizes
from secure.limits import Limits
from secure.verify.memory import peak_rss_bytes

IMAGES = 512
#: Upload in bytes that no plan of the budgeted network keeps to.
SMALL_UPLOAD = 60e3

NETWORKS: Mapping[str, tuple[Callable[[], Network], Limits]] = {
    "dense 784-256-10": (lambda: dense(784, 256, 1), Limits()),
    "dense 784-256-256-10": (lambda: dense(784, 256, 2), Limits()),
    "dense 64 wide, 4 activations": (lambda: dense(64, 64, 4), Limits()),
    "dense 64 wide, 8 activations": (lambda: dense(64, 64, 8), Limits()),
    "dense 64 wide, 12 activations": (lambda: dense(64, 64, 12), Limits()),
    "3x3 convolution to 8 channels, 3x32x32": (lambda: one_conv(3, 32, 8), Limits()),
    "3x3 convolution to 8 channels, 3x64x64": (lambda: one_conv(3, 64, 8), Limits()),
    "CNN 8-16-64, 1x28x28": (lambda: cnn((1, 28, 28), (8, 16), 64), Limits()),
    "the same, at most 60 kB of upload": (lambda: cnn((1, 28, 28), (8, 16), 64), Limits(upload_bytes=SMALL_UPLOAD)),
    "two residual blocks, 4 channels, 3x16x16": (lambda: residual(2, 4, 16), Limits()),
    "two residual blocks, 8 channels, 3x32x32": (lambda: residual(2, 8, 32), Limits()),
    "the same, no activation after the sums": (lambda: residual(2, 8, 32, plain_sums=True), Limits()),
    "two residual blocks, 4 channels, 3x16x16, no activation after the sums": (
        lambda: residual(2, 4, 16, plain_sums=True),
        Limits(),
    ),
    "skip with a channel gate, 8 channels, 3x8x8": (lambda: gated_skip(8, 8), Limits()),
}


def run(output: Path, *, images: int = 0, progress: Progress | None = None) -> dict[str, Any]:
    """Measure every network, and write compiling.json and compiling.md into `output`. No image is run."""
    say = progress or (lambda label, share: None)
    rows = []
    for position, name in enumerate(NETWORKS):
        say(name, position / len(NETWORKS))
        rows.append(measured(name))
    result = {"machine": this_machine().as_json(), "command": "cipherpress bench compiling -o DIR", "rows": rows}
    write_result(Path(output) / "compiling.json", result, compiling_table(result))
    return result


def measured(name: str) -> dict[str, Any]:
    """The row of one network, measured in a process of its own."""
    return in_own_process(_compile, name)


def compiling_table(result: Mapping[str, Any]) -> str:
    """The rows as a Markdown table."""
    headings = (
        "network",
        "multiply-adds",
        "stages",
        "outcome",
        "processor s",
        "peak GB",
        "estimated s",
        "estimated GB",
    )
    lines = table_head(headings)
    for row in result["rows"]:
        cells = (
            row["network"],
            f"{row['multiply_adds']:,.0f}",
            str(row["stages"]),
            row["outcome"] + (f", N={row['degree']}, {row['predicted_ms']:.0f} ms" if row["degree"] else ""),
            f"{row['processor_seconds']:.0f}",
            f"{row['peak_bytes'] / 1e9:.2f}",
            f"{row['estimated_seconds']:.0f}",
            f"{row['estimated_bytes'] / 1e9:.2f}",
        )
        lines.append(table_row(cells))
    note = (
        "Each network in a fresh process on one core, random weights, 512 calibration inputs. A stage is an activation "
        "with the layers before it. Multiply-adds are the entries of the stages' matrices. The peak includes Python "
        "and its libraries. What is refused took its time to find out that no plan keeps to the limits."
    )
    return with_note(lines, note)


def _compile(name: str, sender: Connection) -> None:
    """Compile one network and send its row."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    make, limits = NETWORKS[name]
    network = make()
    inputs = np.random.default_rng(1).uniform(-1.0, 1.0, (IMAGES, *network.input_shape))
    sizes, expected, times = stage_sizes(network), estimate(network, IMAGES), default_times()
    row: dict[str, Any] = {
        "network": name,
        "multiply_adds": sum(size.entries for size in sizes),
        "stages": len(sizes),
        "estimated_seconds": expected.seconds,
        "estimated_bytes": expected.peak_bytes,
        "degree": None,
        "predicted_ms": None,
    }
    started, wall = process_time(), perf_counter()
    try:
        report = compile_network(network, inputs, times=times.engine, seal_times=times.seal, limits=limits).report
        row |= {
            "outcome": "compiled",
            "degree": report["poly_modulus_degree"],
            "predicted_ms": report["predicted_server_ms"],
        }
    except CompileError as error:
        row |= {"outcome": f"refused: {type(error).__name__}"}
    row |= {
        "processor_seconds": process_time() - started,
        "seconds": perf_counter() - wall,
        "peak_bytes": peak_rss_bytes(),
    }
    sender.send(row)
    sender.close()
