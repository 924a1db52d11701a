"""Deep residual networks under encryption: accuracy, levels, keys, bytes and time against the number of squarings.

    cipherpress bench depth -o out/bench      (or: python -m benchmarks.depth out/bench NETWORK_FOLDER ...)

The networks are those of the zoo that ship converted for depth, or the saved networks that the command line names. Each
is compiled and run in a process of its own, on one thread. Images are the first ones of the test set; the answers are
compared with the same plan in clear. "error / bound" is the largest error of any output over the error that the bundle
promises. Fashion-MNIST has to be there (docs/data.md).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.own_process import in_own_process
from benchmarks.report import table_head, table_row, with_note, write_result
from cipherpress.zoo.deep_networks import DEEP, FOLDER
from compress.dataset import Progress
from compress.network_file import load_network
from secure.bundle.specs import Bundle
from secure.parties.client import Client
from secure.parties.server import Server
from secure.verify.memory import peak_rss_bytes
from secure.verify.roundtrip import clear_outputs

#: The most images per network: one takes seconds.
MOST_IMAGES = 100
#: What a client's keys may take while they are made: more than a client allows by itself.
MOST_KEY_BYTES = 4 * 10**9
DATA = "fashion-mnist-32"


def run(output: Path, *, images: int = 20, progress: Progress | None = None) -> dict[str, Any]:
    """Measure every deep network of the zoo on the first test images; write depth.json and depth.md into `output`."""
    folders = [FOLDER / name for name in DEEP]
    return measure(
        folders, min(images, MOST_IMAGES), Path(output), f"cipherpress bench depth --images {images}", progress
    )


def measure(
    folders: Sequence[Path], images: int, output: Path, command: str, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure saved networks, by folder. command: what the result says that it was made by."""
    say = progress or (lambda label, share: None)
    rows = []
    for position, folder in enumerate(folders):
        say(folder.name, position / len(folders))
        rows.append(measured(folder, images))
    rows.sort(key=lambda row: int(row["squarings"]))
    result = {"machine": this_machine().as_json(), "command": command, "data": DATA, "rows": rows}
    write_result(output / "depth.json", result, depth_table(result))
    return result


def measured(folder: Path, images: int) -> dict[str, Any]:
    """The row of one network, measured in a process of its own."""
    return in_own_process(_measure, folder, images)


def depth_table(result: Mapping[str, Any]) -> str:
    """The rows as a Markdown table."""
    headings = (
        "network", "squarings", "accuracy in clear", "agreement", "error / bound", "N", "levels", "log2 QP",
        "keys sent, MB", "upload, MB", "server s", "compile s", "compile GB", "run GB",
    )  # fmt: skip
    lines = table_head(headings)
    for row in result["rows"]:
        cells = (
            row["network"],
            str(row["squarings"]),
            f"{row['accuracy']:.2%}",
            f"{row['agreement']:.1%} of {row['images']}",
            f"{row['largest_error'] / row['bound']:.2f}",
            str(row["degree"]),
            str(row["levels"]),
            f"{row['log2_qp']:.0f}",
            f"{row['key_bytes'] / 1e6:.0f}",
            f"{row['upload_bytes'] / 1e6:.1f}",
            f"{row['server_seconds']:.2f}",
            f"{row['compile_seconds']:.0f}",
            f"{row['compile_peak_bytes'] / 1e9:.1f}",
            f"{row['run_peak_bytes'] / 1e9:.1f}",
        )
        lines.append(table_row(cells))
    note = (
        f"{result['data']}, one thread. Accuracy is that of the converted network on all test images. Agreement and "
        "errors are those of encrypted answers beside the plan in clear. Seconds are of the processor. The peak of a "
        "run holds client, server, keys and the plan, in the process that compiled it."
    )
    return with_note(lines, note)


def _measure(folder: Path, images: int, sender: Connection) -> None:
    """Compile and run one network, and send its row."""
    network, data = load_network(folder), cp.load_data(DATA)
    started, wall = process_time(), perf_counter()
    bundle = cp.compile(network, data)
    row: dict[str, Any] = {
        "network": folder.name,
        "squarings": bundle.report["ciphertext_multiplications"],
        "accuracy": network.about.get("accuracy_after"),
        "compile_seconds": process_time() - started,
        "compile_wall_seconds": perf_counter() - wall,
        "compile_peak_bytes": peak_rss_bytes(),
        "degree": bundle.report["poly_modulus_degree"],
        "levels": bundle.report["levels"],
        "log2_qp": bundle.report["log2_qp"],
        "predicted_server_ms": bundle.report["predicted_server_ms"],
        "bound": bundle.client.predicted_logit_error,
    }
    sender.send(row | _encrypted(bundle, data.x_test[:images]))
    sender.close()


def _encrypted(bundle: Bundle, images: Any) -> dict[str, Any]:
    """Encrypted answers beside those in clear, sizes, and the medians of the server's seconds for an image."""
    client, server = Client(bundle.client, max_key_bytes=MOST_KEY_BYTES), Server(bundle.server)
    key = client.evaluation_key.to_bytes()
    server.register(key)
    clear, answers, sent, processor, wall = clear_outputs(bundle, images), [], 0, [], []
    for image in images:
        request = client.encrypt(image)
        key_id, ciphertexts = server.load_request(request)
        started, here = process_time(), perf_counter()
        answer = server.run_ciphertexts(key_id, ciphertexts)
        processor.append(process_time() - started)
        wall.append(perf_counter() - here)
        answers.append(client.outputs(server.pack_reply(key_id, answer)).ravel())
        sent = len(request)
    found = np.asarray(answers)
    return {
        "images": len(images),
        "agreement": float((found.argmax(axis=1) == clear.argmax(axis=1)).mean()),
        "largest_error": float(np.abs(found - clear).max()),
        "key_bytes": len(key),
        "upload_bytes": sent,
        "server_seconds": median(processor),
        "server_wall_seconds": median(wall),
        "run_peak_bytes": peak_rss_bytes(),
    }


if __name__ == "__main__":
    measure(
        [Path(name) for name in sys.argv[2:]],
        4,
        Path(sys.argv[1]),
        " ".join(["python -m benchmarks.depth", *sys.argv[1:]]),
    )
