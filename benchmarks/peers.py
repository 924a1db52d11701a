"""This project against TenSEAL's own public API: same machine, same images, one thread each, in turn.

    cipherpress bench peers -o out/bench          (or: python -m benchmarks.peers out/bench)

Every competitor lives in a child process pinned to one core. Images go round the competitors in turn, so that a change of the
machine's speed meets all of them. Medians over all images; ratios are of medians. After that, each of this project's bundles alone names
more images still (`agreement` of `run`), which tells agreement finer than the first ones can. Accuracy in clear is over all
test images.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cipherpress as cp
from benchmarks.machine import this_machine
from benchmarks.table import peers_table
from compress.artifact import json_bytes
from compress.dataset import Dataset, Progress
from compress.errors import ConfigError
from compress.network import Dense, Network, Polynomial
from secure.bundle.files import load_bundle
from secure.verify.memory import peak_rss_bytes
from secure.verify.roundtrip import round_trip

LEAST_IMAGES = 20


@dataclass(frozen=True)
class Entry:
    """A competitor: how to make it in its process, its network, and the same network's outputs in clear."""

    kind: str
    arguments: tuple[str, ...]
    network: str
    clear: NDArray[np.float64]
    accuracy_compressed: float | None = None


#: How a network is called in the table.
SHOWN = {"lenet300": "lenet300, blocks pruned"}
#: Budgets of a bundle that has to keep some. An agreement of 99 % leaves room for twice the default's disagreement; the tutorial's network
#: is to name every class of a thousand images as it does in clear.
BUDGETS: Mapping[str, Mapping[str, float]] = {
    "tutorial": {"max_disagreement": 1e-4},
    "mlp": {"budget_keys_bytes": 2e6, "budget_upload_bytes": 90e3, "max_disagreement": 5e-3},
}
#: This project's networks, by the recipe that makes them: the zoo's press settings, or a variant of `benchmarks.savings`.
NETWORKS = ("mlp", "cnn", "lenet300", "lenet5")


def run(output: Path, *, images: int = 100, agreement: int = 1000, progress: Progress | None = None) -> dict[str, Any]:
    """Measure all competitors over the first `images` test images, ours over `agreement` more; writes peers.json and peers.md into
    `output`.

    Raises: ConfigError for fewer than 20 images (medians of less say little).
    """
    if images < LEAST_IMAGES:
        raise ConfigError("images", images, f"{LEAST_IMAGES} or more")
    say = progress or (lambda label, share: None)
    from cipherpress.zoo.datasets import load_data

    data = load_data("mnist")
    with TemporaryDirectory() as folder:
        say("prepare the networks", 0.0)
        entries = _entries(Path(folder), data, images)
        result = {
            "machine": this_machine().as_json(),
            "command": f"cipherpress bench peers --images {images} -o DIR",
            "images": images,
            "threads": 1,
            "rows": measure_in_turn(entries, data.x_test[:images], data.y_test[:images], say),
        }
        for entry, row in zip(entries, result["rows"], strict=True):
            row |= {"accuracy_compressed": entry.accuracy_compressed, "test_images": len(data.x_test)}
            if entry.kind == "ours":
                say(f"agreement of {entry.network}", 0.9)
                row |= _agreement(Path(entry.arguments[0]), data, agreement)
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "peers.json").write_bytes(json_bytes(result))
    (output / "peers.md").write_text(peers_table(result))
    return result


def _entries(folder: Path, data: Dataset, images: int) -> list[Entry]:
    import torch

    from benchmarks.train_tutorial import WEIGHTS, tutorial_network
    from compress.conversion.calibrate import network_accuracy
    from compress.conversion.exporting import export_network

    torch.set_num_threads(1)
    tutorial = tutorial_network()
    from safetensors.torch import load_file

    tutorial.load_state_dict(load_file(WEIGHTS / "tutorial.safetensors"))
    test = data.x_test[:images]
    tutorial_net = export_network(tutorial.eval(), (1, 28, 28), data.calibration(512))
    cp.save(cp.compile(tutorial_net, data, **BUDGETS["tutorial"]), folder / "tutorial")
    tutorial_clear = tutorial_net.run(test)
    right = network_accuracy(tutorial_net, data.x_test, data.y_test)
    rows = [Entry("tenseal_tutorial", (), "TenSEAL's tutorial", tutorial_clear, right)]
    rows.append(Entry("ours", (str(folder / "tutorial"), "cipherpress"), "TenSEAL's tutorial", tutorial_clear, right))
    for name in NETWORKS:
        network = _converted(name, data)
        cp.save(cp.compile(network, data, **BUDGETS.get(name, {})), folder / name)
        clear, right = network.run(test), network_accuracy(network, data.x_test, data.y_test)
        if name == "mlp":
            np.savez(folder / "mlp.npz", **two_layers(network))
            rows.append(Entry("tenseal_mlp", (str(folder / "mlp.npz"),), "mlp", clear, right))
        rows.append(Entry("ours", (str(folder / name), "cipherpress"), SHOWN.get(name, name), clear, right))
    return rows


def _converted(name: str, data: Dataset) -> Network:
    """A zoo network compressed and converted by its preset; lenet300 with whole blocks pruned first."""
    from benchmarks.savings import BLOCKS_WITHIN_HALF_A_POINT, converted
    from cipherpress.zoo.presets import press_options
    from compress.press.pressing import pressed

    if name == "lenet300":
        return converted(name, BLOCKS_WITHIN_HALF_A_POINT, data)
    return pressed(cp.load_model(name), data, press_options(name))


def _agreement(bundle: Path, data: Dataset, images: int) -> dict[str, Any]:
    """One bundle alone, by the same round trip as `cipherpress infer`."""
    found = round_trip(load_bundle(bundle), data.x_test[:images], data.y_test[:images])
    return {
        "agreement_images": images,
        "agreement": found["agreement"],
        "accuracy_encrypted": found["accuracy_encrypted"],
        "accuracy_clear": found["accuracy_compressed"],
        "max_logit_error": found["max_logit_error"],
        "predicted_logit_error": found["predicted_logit_error"],
    }


def two_layers(network: Network) -> dict[str, NDArray[np.float64]]:
    """w1, b1, w2, b2 of a network Dense, Polynomial of degree 2, Dense, with the polynomial completed to a square:
    y = w2 (w1 x + b1)^2 + b2 (the signs of the leading coefficients go into w2)."""
    first, second = [node for node in network.nodes if isinstance(node, Dense)]
    polynomial = next(node for node in network.nodes if isinstance(node, Polynomial))
    c0, c1, c2 = np.broadcast_to(polynomial.coefficients, (3, len(first.bias)))
    root = np.sqrt(np.abs(c2))
    centre = c1 / (2 * c2)
    w2 = second.weights.values()
    return {
        "w1": first.weights.values() * root[:, None],
        "b1": (first.bias + centre) * root,
        "w2": w2 * np.sign(c2),
        "b2": second.bias + w2 @ (c0 - c2 * centre**2),
    }


def measure_in_turn(entries: list[Entry], images: Any, labels: Any, say: Progress) -> list[dict[str, Any]]:
    context = get_context("spawn")
    core = min(os.sched_getaffinity(0))
    workers = []
    for entry in entries:
        ours, theirs = context.Pipe()
        process = context.Process(target=_competitor, args=(theirs, entry.kind, entry.arguments, core), daemon=True)
        process.start()
        workers.append((process, ours, ours.recv()))
    rounds: list[list[dict[str, Any]]] = [[] for _ in entries]
    for index, image in enumerate(images):
        for number, (_, pipe, _) in enumerate(workers):
            pipe.send(image)
            rounds[number].append(pipe.recv())
        say("in turn", (index + 1) / len(images))
    rows = []
    for entry, (process, pipe, facts), measured in zip(entries, workers, rounds, strict=True):
        pipe.send(None)
        facts |= pipe.recv()
        process.join()
        rows.append(_row(entry, facts, measured, labels))
    return rows


def _row(entry: Entry, facts: dict[str, Any], measured: list[dict[str, Any]], labels: Any) -> dict[str, Any]:
    outputs = np.asarray([one["outputs"] for one in measured])
    named, clear = outputs.argmax(axis=1), entry.clear.argmax(axis=1)
    times = {
        key: median(one[key] for one in measured) for key in ("client_encrypt_ms", "server_ms", "client_decrypt_ms")
    }
    server = sorted(one["server_ms"] for one in measured)
    return {
        "network": entry.network,
        "competitor": facts["name"],
        **times,
        "server_ms_p10": server[len(server) // 10],
        "server_ms_p90": server[-1 - len(server) // 10],
        "accuracy_encrypted": float(np.mean(named == labels)),
        "accuracy_clear": float(np.mean(clear == labels)),
        "agreement": float(np.mean(named == clear)),
        "max_logit_error": float(np.abs(outputs - entry.clear).max()),
        "evaluation_key_bytes": facts["key_bytes"],
        "upload_bytes": measured[0]["upload_bytes"],
        "download_bytes": measured[0]["download_bytes"],
        "peak_rss_bytes": facts["peak_rss_bytes"],
    }


def _competitor(pipe: Connection, kind: str, arguments: tuple[str, ...], core: int) -> None:
    """A child process: answers images until it gets None."""
    os.sched_setaffinity(0, {core})
    os.environ["OMP_NUM_THREADS"] = "1"
    competitor = _make(kind, arguments)
    pipe.send({"name": competitor.name, "key_bytes": competitor.key_bytes()})
    while (image := pipe.recv()) is not None:
        start = perf_counter()
        request = competitor.encrypt(image)
        encrypted = perf_counter()
        reply = competitor.run(request)
        ran = perf_counter()
        outputs = competitor.decrypt(reply)
        decrypted = perf_counter()
        pipe.send(
            {
                "outputs": outputs,
                "client_encrypt_ms": (encrypted - start) * 1e3,
                "server_ms": (ran - encrypted) * 1e3,
                "client_decrypt_ms": (decrypted - ran) * 1e3,
                "upload_bytes": competitor.size(request),
                "download_bytes": competitor.size(reply),
            }
        )
    pipe.send({"peak_rss_bytes": peak_rss_bytes()})


def _make(kind: str, arguments: tuple[str, ...]) -> Any:
    if kind == "tenseal_tutorial":
        from benchmarks.tenseal_tutorial import Competitor as Tutorial

        return Tutorial()
    if kind == "tenseal_mlp":
        from benchmarks.tenseal_mlp import Competitor as Mlp

        return Mlp(Path(arguments[0]))
    from benchmarks.ours import Competitor as Ours

    return Ours(Path(arguments[0]), arguments[1])


if __name__ == "__main__":
    result = run(Path(sys.argv[1]), images=int(sys.argv[2]) if len(sys.argv) > 2 else 100)
    print(json.dumps(result["rows"], indent=1))
