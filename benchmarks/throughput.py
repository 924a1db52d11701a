"""What each compression method buys in batches: every zoo network by every method, encrypted, on one thread.

    cipherpress bench throughput --images 10000 -o out/bench
    python -m benchmarks.throughput OUT [NETWORK ...] [--images 1000] [--variant NAME ...] [--missing]

The second form measures some networks or variants, and with --missing only rows that OUT does not have. It takes 20 to
40 seconds a row of processor time, and of lenet5 two minutes.

The networks come from `benchmarks.throughput_networks`, which trains what is missing in the user's cache folder; with
several processes that goes faster beforehand. Times are processor time of one thread, so that other work on the machine
counts less, and medians over blocks of images. The arithmetic is that of random residues; all variants of a network
take turns, and the lower quartile of the rounds counts, with the plans that kernel times are fitted to; these times
predict what the variants take. TenSEAL's tutorial network, run a few times before, tells how fast the machine is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import read_result, write_result
from benchmarks.throughput_networks import NETWORKS, SEED, Variant, trained, variants_of
from benchmarks.throughput_table import REFERENCE_MS, throughput_table
from cipherpress.timing.cache import cache_path
from cipherpress.timing.residue_kernels import ResidueCase, ResidueMeasurement, measure_residues
from compress.dataset import Dataset, Progress
from compress.errors import CompileError
from secure.bundle.batch_specs import BatchBundle
from secure.streams.client import BatchClient
from secure.streams.server import BatchServer
from secure.streams.stopwatch import Stopwatch
from secure.streams.warming import load_kernels
from secure.verify.batch_roundtrip import clear_batch_outputs, timed_answers

#: Runs of TenSEAL's tutorial network.
REFERENCE_RUNS = 3


def run(
    output: Path,
    *,
    images: int = 1000,
    networks: Sequence[str] = NETWORKS,
    variants: Sequence[str] = (),
    missing: bool = False,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure the variants of the networks over the first `images` test images.

    variants: their names; none for all. missing: only those without a row in `output`. folder: where the networks lie;
    by default in the user's cache folder. Writes throughput.json and throughput.md into `output`, where other rows stay
    as they are. A network that does not compile in this mode gets no row; `progress` is told why.
    """
    say = progress or (lambda label, share: None)
    data, folder = cp.load_data("mnist"), folder or cache_path().parent / "benchmark-networks"
    output = Path(output)
    found = read_result(output / "throughput.json")
    before = found["rows"]
    there = {(row["network"], row["variant"]) for row in before} if missing else set()
    wanted = {
        name: [
            variant
            for variant in variants_of(name)
            if (not variants or variant.name in variants) and (name, variant.name) not in there
        ]
        for name in networks
    }
    measured_now = {(name, variant.name) for name, own in wanted.items() for variant in own}
    rows = [row for row in before if (row["network"], row["variant"]) not in measured_now]
    result: dict[str, Any] = {
        "command": f"cipherpress bench throughput --images {images} -o DIR",
        "machine": this_machine().as_json(),
        "seed": SEED,
        "reference_ms": REFERENCE_MS,
        "kernel_times": dict(found.get("kernel_times", {})),
        "rows": rows,
    }
    load_kernels()
    done: list[str] = []

    def note(label: str) -> None:
        say(label, len(done) / len(measured_now))

    for name in filter(wanted.__getitem__, networks):
        bundles = _compiled(name, wanted[name], folder, data, note)
        note(f"{name}: {len(bundles)} plans in turn")
        tutorial_ms, kernels = reference_tutorial_ms(data), in_turn(bundles)
        result["kernel_times"][name] = asdict(kernels.times)
        for variant, bundle in bundles.items():
            note(f"{name}: {variant.name}")
            rows.append({**measured(name, variant, bundle, data, images, kernels), "tutorial_ms": tutorial_ms})
            rows.sort(key=_place)
            write_result(output / "throughput.json", result, throughput_table(result))
            done.append(variant.name)
    return result


def _compiled(
    name: str, variants: Sequence[Variant], folder: Path, data: Dataset, note: Callable[[str], None]
) -> dict[Variant, BatchBundle]:
    """The bundles of the variants that compile; `note` is told of the others."""
    bundles = {}
    for variant in variants:
        note(f"{name}: compiling {variant.name}")
        try:
            bundles[variant] = cp.compile(trained(folder, name, variant), data, mode="throughput", seed=SEED)
        except CompileError as error:
            note(f"{name}: {variant.name}: no row: {error}")
    return bundles


def in_turn(bundles: Mapping[Variant, BatchBundle]) -> ResidueMeasurement:
    """The times of the plans' arithmetic and of the kernels, measured in the same rounds."""
    return measure_residues(beside={variant.name: ResidueCase(b.server.plan) for variant, b in bundles.items()})


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    """Where a row stands in the table."""
    names = [variant.name for variant in variants_of(row["network"])]
    return NETWORKS.index(row["network"]), names.index(row["variant"])


def measured(
    name: str, variant: Variant, bundle: BatchBundle, data: Dataset, images: int, kernels: ResidueMeasurement
) -> dict[str, Any]:
    """One row: what was compiled, how fast it is, and what comes out of it. kernels: of `in_turn` with this bundle."""
    report, about = bundle.report, bundle.report["about"]
    facts = {
        "network": name,
        "variant": variant.name,
        "compression_rate": about["compression_rate"],
        "accuracy_clear": about["accuracy_after"],
        "compile_seconds": report["compile_seconds"],
        "predicted_logit_error": bundle.client.predicted_logit_error,
        "predicted_block_ms": kernels.predicted_ms[variant.name],
        **{
            field: report[field]
            for field in (
                "nonzeros", "log2_q", "poly_modulus_degree", "limbs", "coeff_modulus_bits", "batch", "parts", "depth",
                "upload_bytes", "download_bytes", "rounding_bits", "upload_bits_dropped",
            )
        },
    }  # fmt: skip
    arithmetic_ms = kernels.measured_ms[variant.name]
    return {**facts, **batch_times(bundle, data.x_test[:images], data.y_test[:images], arithmetic_ms)}


def batch_times(bundle: BatchBundle, images: Any, labels: Any, arithmetic_ms: float) -> dict[str, Any]:
    """Times of all parties, and the answers beside those in clear. arithmetic_ms: of a block, measured before."""
    client, server = BatchClient(bundle.client), BatchServer(bundle.server)
    encryption, work, decryption = (Stopwatch(process_time) for _ in range(3))
    answers = timed_answers(client, server, images, encryption, work, decryption)
    outputs = np.concatenate(list(answers))
    clear = clear_batch_outputs(bundle, images)
    named, batch = outputs.argmax(axis=1), bundle.client.block_images
    return {
        "images": len(images),
        "blocks": len(work.laps),
        "accuracy_encrypted": float(np.mean(named == labels)),
        "accuracy_same_images": float(np.mean(clear.argmax(axis=1) == labels)),
        "agreement": float(np.mean(named == clear.argmax(axis=1))),
        "max_logit_error": float(np.abs(outputs - clear).max()),
        "arithmetic_block_ms": arithmetic_ms,
        "images_per_s_arithmetic": batch / arithmetic_ms * 1e3,
        "server_block_ms": median(work.laps) * 1e3,
        "images_per_s": batch / median(work.laps),
        "client_images_per_s": batch / median(encryption.laps),
        "decrypted_images_per_s": batch / median(decryption.laps),
    }


def reference_tutorial_ms(data: Dataset) -> float:
    """What TenSEAL's tutorial network takes on this machine now."""
    from benchmarks.tenseal_tutorial import Competitor

    competitor, taken = Competitor(), []
    for image in data.x_test[:REFERENCE_RUNS]:
        request = competitor.encrypt(image)
        started = process_time()
        competitor.run(request)
        taken.append((process_time() - started) * 1e3)
    return median(taken)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--variant", action="append", default=[], help="Only this one; repeats.")
    parser.add_argument("--missing", action="store_true", help="Only rows that OUT does not have.")
    chosen = parser.parse_args()
    run(
        chosen.output,
        images=chosen.images,
        networks=chosen.networks or NETWORKS,
        variants=chosen.variant,
        missing=chosen.missing,
        progress=lambda label, share: print(f"{share:4.0%} {label}", flush=True),
    )
