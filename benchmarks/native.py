"""The networks made for one ciphertext: both modes, encrypted, on one thread.

    cipherpress bench native --images 10000 -o out/bench

Latency mode is compiled with only outputs leaving the server, with the last sums left to the client, and where keys are
larger than FEW_KEYS_BYTES then, within that limit. Batches and that last plan run all images, the other plans the first
ONE_BY_ONE. Times are processor time of one thread; of single requests the
fastest tenth counts, since other work on the machine takes the processor's caches from a request of a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.report import read_result, table_head, table_row, with_note, write_result
from benchmarks.throughput import batch_times, reference_tutorial_ms
from benchmarks.throughput_table import REFERENCE_MS
from cipherpress.timing.residue_kernels import ResidueCase, rounds_ms
from cipherpress.zoo.natives import NATIVES
from compress.dataset import Dataset, Progress
from compress.network import Network
from secure.limits import FOLDS
from secure.streams.warming import load_kernels
from secure.verify.roundtrip import clear_outputs

#: The limit on keys of the last plan for latency.
FEW_KEYS_BYTES = 4.5e6
#: The most requests of the other plans, and the share of requests whose times count, the fastest ones.
ONE_BY_ONE, COUNTED_SHARE = 1000, 0.1
HEADINGS = (
    "network", "mode", "server", "scaled", "client encrypts / decrypts", "accuracy encrypted / clear, same images",
    "agreement", "largest error / bound", "N", "primes, bits", "rotations", "up / down, KB", "keys, MB",
)  # fmt: skip


def run(
    output: Path,
    *,
    images: int = 10_000,
    networks: Sequence[str] = tuple(NATIVES),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure the shipped networks over the first `images` test images; writes native.json and native.md into `output`,
    where rows of other networks stay as they are."""
    say = progress or (lambda label, share: None)
    data = cp.load_data("mnist")
    load_kernels()
    result: dict[str, Any] = {
        "command": f"cipherpress bench native --images {images} -o DIR",
        "machine": this_machine().as_json(),
        "reference_ms": REFERENCE_MS,
        "rows": [row for row in read_result(Path(output) / "native.json")["rows"] if row["network"] not in networks],
    }
    for place, name in enumerate(networks):
        say(f"{name}, TenSEAL's tutorial network", place / len(networks))
        network, tutorial_ms = cp.load_network(name), reference_tutorial_ms(data)
        common = {"network": name, "tutorial_ms": tutorial_ms}
        for number, (mode, row) in enumerate(_rows(network, data, images)):
            say(f"{name}, {mode}", (place + (number + 1) / 4) / len(networks))
            result["rows"].append({**common, "mode": mode, **row})
            result["rows"].sort(key=lambda row: list(NATIVES).index(row["network"]))
            write_result(Path(output) / "native.json", result, native_table(result))
    return result


def _rows(network: Network, data: Dataset, images: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The mode and what was measured of every row of a network."""
    row: dict[str, Any] = {}
    for fold in FOLDS:
        row = _one_by_one(network, data, cp.Limits(fold=fold), min(images, ONE_BY_ONE))
        yield f"latency, {fold} folds", row
    if row["key_bytes"] > FEW_KEYS_BYTES:
        limits = cp.Limits(fold=FOLDS[-1], keys_bytes=FEW_KEYS_BYTES)
        few = _one_by_one(network, data, limits, images)
        yield f"latency, {FOLDS[-1]} folds, keys within {FEW_KEYS_BYTES / 1e6:g} MB", few
    yield "throughput", _in_batches(network, data, images)


def _in_batches(network: Network, data: Dataset, images: int) -> dict[str, Any]:
    """The row of throughput mode."""
    bundle = cp.compile(network, data, mode="throughput")
    arithmetic_ms = median(rounds_ms({"native": ResidueCase(bundle.server.plan)})["native"])
    row = batch_times(bundle, data.x_test[:images], np.asarray(data.y_test)[:images], arithmetic_ms)
    facts = {key: bundle.report[key] for key in ("poly_modulus_degree", "upload_bytes", "download_bytes", "log2_q")}
    primes = [prime.bit_length() for prime in bundle.client.params.data_primes]
    return {**row, **facts, "bound": bundle.client.predicted_logit_error, "primes": primes, "key_bytes": 0}


def _one_by_one(network: Network, data: Dataset, limits: cp.Limits, count: int) -> dict[str, Any]:
    """One row of latency mode, over the first `count` test images."""
    bundle = cp.compile(network, data, limits)
    rows, labels = data.x_test[:count], np.asarray(data.y_test)[:count]
    client, server = cp.Client(bundle.client), cp.Server(bundle.server)
    key = client.evaluation_key.to_bytes()
    server.register(key)
    outputs, spent = [], np.zeros((3, count))
    request = reply = b""
    for number, image in enumerate(rows):
        marks = [process_time()]
        request = client.encrypt(image)
        marks.append(process_time())
        key_id, ciphertexts = server.load_request(request)
        marks.append(process_time())
        answer = server.run_ciphertexts(key_id, ciphertexts)
        marks.append(process_time())
        reply = server.pack_reply(key_id, answer)
        marks.append(process_time())
        outputs.append(client.outputs(reply).ravel())
        marks.append(process_time())
        spent[:, number] = np.diff(marks)[[0, 2, 4]] * 1e3
    answers = np.asarray(outputs)
    clear = clear_outputs(bundle, bundle.client.interface.features(rows))
    named, params = answers.argmax(axis=1), bundle.client.params
    special = (*([params.special_prime] if params.special_prime else []), *params.more_special_primes)
    return {
        "images": count,
        **{field: bundle.report[field] for field in ("rotations", "predicted_server_ms", "compile_seconds")},
        "poly_modulus_degree": params.poly_modulus_degree,
        "primes": [prime.bit_length() for prime in (*params.data_primes, *special)],
        "accuracy_encrypted": float(np.mean(named == labels)),
        "accuracy_same_images": float(np.mean(clear.argmax(axis=1) == labels)),
        "agreement": float(np.mean(named == clear.argmax(axis=1))),
        "max_logit_error": float(np.abs(answers - clear).max()),
        "bound": bundle.client.predicted_logit_error,
        **dict(zip(("client_encrypt_ms", "server_ms", "client_decrypt_ms"), map(_fast, spent), strict=True)),
        "upload_bytes": len(request),
        "download_bytes": len(reply),
        "key_bytes": len(key),
    }


def _fast(milliseconds: NDArray[np.float64]) -> float:
    """The median of the fastest share that counts."""
    fastest = np.sort(milliseconds)[: max(1, int(COUNTED_SHARE * len(milliseconds)))]
    return float(np.median(fastest))


def native_table(result: Mapping[str, Any]) -> str:
    """The table, with the machine, date and command under it."""
    reference, tutorials = result["reference_ms"], [row["tutorial_ms"] for row in result["rows"]]
    lines = table_head(HEADINGS) + [table_row(_cells(row, reference / row["tutorial_ms"])) for row in result["rows"]]
    machine = result["machine"]
    note = (
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
        f"load {machine['load_average']:.1f} at "
        f"the start, {machine['date']}. `{result['command']}`. Processor time of one thread: of single requests the "
        f"median of the fastest tenth, in batches medians over blocks. Scaled: on a machine where "
        f"TenSEAL's tutorial network takes {reference:,.0f} ms; here it took {min(tutorials):,.0f} to "
        f"{max(tutorials):,.0f} ms in the same run. Server: in latency mode a request's plan, from ciphertexts in "
        "memory to ciphertexts in memory; in throughput from residues in memory to residues in memory. The client's "
        "times include the front end. KB: of a request and its reply; in throughput of one image of a full block."
    )
    return with_note(lines, note)


def _cells(row: Mapping[str, Any], factor: float) -> list[str]:
    if row["mode"] == "throughput":
        speed = [f"{row['images_per_s_arithmetic']:,.0f} images/s", f"{row['images_per_s_arithmetic'] / factor:,.0f}"]
        client = f"{row['client_images_per_s']:,.0f} / {row['decrypted_images_per_s']:,.0f} images/s"
    else:
        speed = [f"{row['server_ms']:.2f} ms", f"{row['server_ms'] * factor:.2f} ms"]
        client = f"{row['client_encrypt_ms']:.2f} / {row['client_decrypt_ms']:.2f} ms"
    return [
        row["network"],
        row["mode"],
        *speed,
        client,
        f"{row['accuracy_encrypted']:.2%} / {row['accuracy_same_images']:.2%} ({row['images']:,})",
        f"{row['agreement']:.2%}",
        f"{row['max_logit_error'] / row['bound']:.2f}",
        str(row["poly_modulus_degree"]),
        " + ".join(map(str, row["primes"])),
        str(row.get("rotations", 0)),
        f"{row['upload_bytes'] / 1e3:.1f} / {row['download_bytes'] / 1e3:.1f}",
        f"{row['key_bytes'] / 1e6:.2f}",
    ]
