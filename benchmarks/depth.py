"""Deep networks under encryption: accuracy, levels, keys, bytes and time against the number of squarings.

    cipherpress bench depth -o out/bench      (or: python -m benchmarks.depth out/bench NETWORK_FOLDER ... --images 20
                                               --two 3 --memory 8)

The networks are those of the zoo that ship converted for depth, or the saved networks that the command line names.
Compiler, client and server are processes of their own (`benchmarks.depth_steps`): the peak is that of a server alone.
Everything lies in the output folder, and a measurement that was stopped goes on there. Images are the first test images
of the data that a network was converted with; the answers are compared with the same plan in clear. "error / bound" is
the largest error of any output over the error that the bundle promises. Fashion-MNIST has to be there (docs/data.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import cipherpress as cp
from benchmarks.depth_steps import compare_step, compile_step, encrypt_step, serve_step
from benchmarks.machine import this_machine
from benchmarks.own_process import in_own_process
from benchmarks.report import read_result, table_head, table_row, with_note, write_result
from benchmarks.throughput import reference_tutorial_ms
from benchmarks.throughput_table import REFERENCE_MS
from cipherpress.zoo.deep_networks import DEEP, FOLDER
from compress.dataset import Progress

#: The most images per network: one takes seconds.
MOST_IMAGES = 100


def run(output: Path, *, images: int = 20, progress: Progress | None = None) -> dict[str, Any]:
    """Measure every deep network of the zoo on the first test images; write depth.json and depth.md into `output`."""
    folders = [FOLDER / name for name in DEEP]
    command = f"cipherpress bench depth --images {images}"
    return measure(folders, min(images, MOST_IMAGES), Path(output), command, progress=progress)


def measure(
    folders: Sequence[Path],
    images: int,
    output: Path,
    command: str,
    *,
    two: int = 0,
    memory_bytes: float | None = None,
    most_changed: float = cp.ACCEPTABLE_DISAGREEMENT,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure saved networks, by folder. command: what their rows say that they were made by. two: images that are run
    again on two threads. memory_bytes: what a server may take; None: what it takes by itself. most_changed: the
    share of classes that encryption may change by prediction. A network that was measured before keeps its limits.
    Rows of other networks in `output` stay."""
    say, data = progress or (lambda label, share: None), cp.load_data("mnist")
    names = {folder.name for folder in folders}
    rows = [row for row in read_result(output / "depth.json")["rows"] if row["network"] not in names]
    result = {"machine": this_machine().as_json(), "command": command, "reference_ms": REFERENCE_MS, "rows": rows}
    before = reference_tutorial_ms(data)
    for position, folder in enumerate(folders):
        say(folder.name, position / len(folders))
        place = output / "depth" / folder.name
        place.mkdir(parents=True, exist_ok=True)
        row = measured(folder, place, images, two, memory_bytes, most_changed)
        after = reference_tutorial_ms(data)
        row |= {"tutorial_ms": mean((before, after)), "command": command}
        before = after
        (place / "row.json").write_text(json.dumps(row, indent=1))
        rows.append(row)
        rows.sort(key=lambda row: int(row["squarings"]))
        write_result(output / "depth.json", result, depth_table(result))
    return result


def measured(
    folder: Path, place: Path, images: int, two: int, memory_bytes: float | None, most_changed: float
) -> dict[str, Any]:
    """The row of one network. Images that were measured before count, also beyond `images`."""
    images = max(images, len(list(place.glob("reply-*.ct"))))
    row = {"network": folder.name}
    row |= in_own_process(compile_step, folder, place, most_changed)
    row |= in_own_process(encrypt_step, place, images)
    served = in_own_process(serve_step, place, images, 1, memory_bytes)
    row |= {
        "server_seconds": median(served["seconds"]),
        "least_wall_seconds": min(served["wall_seconds"]),
        "set_up_seconds": served["set_up_seconds"],
        "register_seconds": served["register_seconds"],
        "server_peak_bytes": served["peak_bytes"],
        "memory_bytes": served["memory_bytes"],
    }
    row |= in_own_process(compare_step, place, images)
    if two or (place / "served-2.json").exists():
        both = in_own_process(serve_step, place, two, 2, memory_bytes)
        row["two_threads_least_wall_seconds"] = min(both["wall_seconds"])
    return row


def scaled_seconds(row: Mapping[str, Any], result: Mapping[str, Any]) -> float:
    """The server's seconds for an image, on a machine of the reference's speed."""
    return float(row["server_seconds"] * result["reference_ms"] / row["tutorial_ms"])


def depth_table(result: Mapping[str, Any]) -> str:
    """The rows as a Markdown table."""
    headings = (
        "network", "data", "squarings", "accuracy in clear", "agreement", "limit", "error / bound", "N", "levels",
        "log2 QP", "keys sent, MB", "keys in memory, MB", "upload, MB", "server s", "scaled s", "two threads",
        "set-up s", "server GB", "compile s", "compile GB",
    )  # fmt: skip
    lines = table_head(headings)
    for row in result["rows"]:
        two = row.get("two_threads_least_wall_seconds")
        cells = (
            row["network"],
            row["data"],
            str(row["squarings"]),
            f"{row['accuracy']:.2%}",
            f"{row['agreement']:.1%} of {row['images']}",
            f"{1 - row['most_changed']:.1%}",
            f"{row['largest_error'] / row['bound']:.2f}",
            str(row["degree"]),
            str(row["levels"]),
            f"{row['log2_qp']:.0f}",
            f"{row['key_bytes'] / 1e6:.0f}",
            f"{row['key_memory_bytes'] / 1e6:.0f}",
            f"{row['upload_bytes'] / 1e6:.1f}",
            f"{row['server_seconds']:.2f}",
            f"{scaled_seconds(row, result):.2f}",
            "" if two is None else f"{two / row['least_wall_seconds']:.2f}",
            f"{row['set_up_seconds'] + row['register_seconds']:.0f}",
            f"{row['server_peak_bytes'] / 1e9:.1f}",
            f"{row['compile_seconds']:.0f}",
            f"{row['compile_peak_bytes'] / 1e9:.1f}",
        )
        lines.append(table_row(cells))
    note = (
        "One thread. Products of two ciphertexts count as squarings. Accuracy is that of the converted network on all "
        "test images. Agreement and errors are those of encrypted answers beside the plan in clear; limit: the "
        "agreement, by prediction, that a plan was compiled for. Seconds are of the processor, medians over images. "
        f"Scaled: to a machine where TenSEAL's tutorial network takes {result['reference_ms']:,.0f} ms, by what it "
        "took here beside the images. Two threads: the wall time of the fastest image over that on one thread. Set-up: "
        "constants are made and one client's keys are registered. The server's memory is the peak of its own process, "
        "with the keys of one client. "
        + "; ".join(f"{row['network']}: `{row['command']}`" for row in result["rows"])
        + "."
    )
    return with_note(lines, note)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("networks", nargs="*", type=Path)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--two", type=int, default=0, help="Images that are run again on two threads.")
    parser.add_argument(
        "--most-changed", type=float, default=cp.ACCEPTABLE_DISAGREEMENT, help="Of classes, as a share."
    )
    parser.add_argument("--memory", type=float, help="What a server may take, in GB.")
    chosen = parser.parse_args()
    measure(
        chosen.networks,
        chosen.images,
        chosen.output,
        " ".join(["python -m benchmarks.depth DIR", *sys.argv[2:]]),  # the output is the first argument
        two=chosen.two,
        most_changed=chosen.most_changed,
        memory_bytes=None if chosen.memory is None else chosen.memory * 1e9,
    )
