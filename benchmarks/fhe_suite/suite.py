"""The entry for the official benchmark, as whole processes, by the driver of our own. No official run is in it.

    cipherpress bench fhe-suite --images 10000 -o out/bench        (or: python -m benchmarks.fhe_suite.suite out/bench)

Each size runs several times. Times are medians over the runs, of processor time and from start to end. Beside the
server's stage, which uses numpy alone, stands a process that answers the same request by the product's compiled kernels
from their cache.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import cipherpress as cp
from benchmarks.fhe_suite.driver import EVERY_RUN, ONCE, SIZES, SUBMISSION, Run, StageTime, run_suite, timed_process
from benchmarks.machine import this_machine
from benchmarks.report import table_head, with_note, write_result
from compress.dataset import Progress
from secure.bundle.files import load_bundle

#: Images of every size.
COUNTS = {"single": (1,), "small": (15, 100), "medium": (1_000,), "large": (10_000,)}
RUNS = 3
STAGES = (*ONCE, *EVERY_RUN)
#: Answers a request by the compiled kernels; its arguments are bundle, request and reply.
COMPILED = """
import sys
from secure.bundle.files import load_server
from secure.streams.server import BatchServer

server = BatchServer(load_server(sys.argv[1]))
with open(sys.argv[2], "rb") as request, open(sys.argv[3], "wb") as reply:
    reply.writelines(server.run_frames(server.read(request)))
"""


def run(output: Path, *, images: int = 10_000, progress: Progress | None = None) -> dict[str, Any]:
    """Measure every size of at most `images` images; write fhe-suite.json and fhe-suite.md into `output`."""
    say = progress or (lambda label, share: None)
    data = cp.load_data("mnist")
    labels, rows = np.asarray(data.y_test), []
    counts = [(size, count) for size in SIZES for count in COUNTS[size] if count <= images]
    for number, (size, count) in enumerate(counts):
        say(f"{size}, {count} images", number / len(counts))
        with TemporaryDirectory() as root:
            found = run_suite(Path(root), size, data.x_test[:count], runs=RUNS)
            compiled = compiled_server(Path(root) / "io" / size)
        rows.append(row_of(size, found, compiled, labels[:count]))
    report = load_bundle(SUBMISSION / "bundle").report
    named = ("poly_modulus_degree", "log2_qp", "limbs", "nonzeros", "expected_disagreement", "predicted_logit_error")
    result = {
        "command": f"cipherpress bench fhe-suite --images {images} -o DIR",
        "runs": RUNS,
        "rows": rows,
        "bundle": {name: report[name] for name in named},
        "machine": this_machine().as_json(),
    }
    write_result(output / "fhe-suite.json", result, suite_table(result))
    return result


def compiled_server(io: Path) -> list[StageTime]:
    """Processes that answer the request of a size by the compiled kernels; the first one, which may compile, is left
    out.

    Raises: StageError; ValueError when the reply is not that of the entry.
    """
    request, reply, other = (
        io / name for name in ("ciphertexts_upload/request.bin", "ciphertexts_download/reply.bin", "other.bin")
    )
    arguments = [str(path.resolve()) for path in (SUBMISSION / "bundle", request, other)]
    times = [timed_process("compiled", [sys.executable, "-c", COMPILED, *arguments], io) for _ in range(RUNS + 1)]
    if reply.read_bytes() != other.read_bytes():
        raise ValueError("the compiled kernels answer otherwise than the entry")
    return times[1:]


def row_of(size: str, found: list[Run], compiled: list[StageTime], labels: Any) -> dict[str, Any]:
    """Medians over the runs of one size, and the least accuracy of them."""
    times = {
        unit: {stage: median(getattr(run, unit)(stage) for run in found) for stage in STAGES}
        for unit in ("cpu_s", "wall_s")
    }
    return {
        "size": size,
        "images": len(labels),
        **times,
        "compiled": {unit: median(getattr(time, unit) for time in compiled) for unit in ("cpu_s", "wall_s")},
        "total_cpu_s": median(run.cpu_s() for run in found),
        "total_wall_s": median(run.wall_s() for run in found),
        "folder_bytes": found[-1].folder_bytes,
        "accuracy": min(float(np.mean(run.predictions == labels)) for run in found),
    }


def suite_table(result: Mapping[str, Any]) -> str:
    """Markdown: a row per size, with machine, date and command under it."""
    headings = ("size", "images", "keys", "client encrypts", "server computes", "by compiled kernels")
    more = ("client decrypts", "all stages")
    lines = table_head((*headings, *more, "keys KB", "upload KB", "download KB", "accuracy"))
    for row in result["rows"]:

        def both(*stages: str, row: Mapping[str, Any] = row) -> str:
            return ", ".join(f"{sum(row[unit][stage] for stage in stages):.2f}" for unit in ("cpu_s", "wall_s"))

        sizes = row["folder_bytes"]
        cells = (
            row["size"],
            f"{row['images']:,}",
            both("client_key_generation"),
            both("client_preprocess_input", "client_encode_encrypt_input"),
            both("server_encrypted_compute"),
            f"{row['compiled']['cpu_s']:.2f}, {row['compiled']['wall_s']:.2f}",
            both("client_decrypt_decode", "client_postprocess"),
            f"{row['total_cpu_s']:.2f}, {row['total_wall_s']:.2f}",
            f"{(sizes['public_keys'] + sizes['secret_key']) / 1e3:,.0f}",
            f"{sizes['ciphertexts_upload'] / 1e3:,.0f}",
            f"{sizes['ciphertexts_download'] / 1e3:,.0f}",
            f"{row['accuracy']:.2%}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    machine, bundle = result["machine"], result["bundle"]
    note = (
        "Our own driver's figures; no official run has taken place. Seconds of processor time, and from start to end, "
        f"of whole processes; medians of {result['runs']} runs; accuracy is the least of them. Load when the "
        f"measurement began: {machine['load_average']:.1f} on {machine['cores']} cores, which times from start to end "
        f"contain. N = {bundle['poly_modulus_degree']}, log2 Q = {bundle['log2_qp']:.1f}, no evaluation key. "
        f"{machine['cpu']}, {machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))["rows"], indent=1))
