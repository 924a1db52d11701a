"""The steps of `benchmarks.depth` for one network, each in a process of its own, with files between them.

compile -> bundle/, compiled.json; encrypt -> keys and requests; serve -> replies and times; compare -> the encrypted
answers beside those in clear. A step does only what its files lack, so a measurement that was stopped goes on.
"""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cipherpress as cp
from compress.network_file import load_network
from secure.bundle.files import load_bundle, load_client, load_server, save_bundle
from secure.bundle.specs import Bundle, ClientSpec, ServerSpec
from secure.parties.client import Client
from secure.parties.keys import SecretKey
from secure.parties.memory import server_memory
from secure.parties.server import Server
from secure.plan import Kind
from secure.verify.memory import peak_rss_bytes
from secure.verify.roundtrip import clear_outputs

#: What a client's keys may take while they are made: more than a client allows by itself.
MOST_KEY_BYTES = 4 * 10**9


def compile_step(folder: Path, place: Path, most_changed: float, sender: Connection) -> None:
    """Compile a saved network to place/bundle, unless it is there. most_changed: the share of classes that encryption
    may change by prediction."""
    record = place / "compiled.json"
    if not record.exists():
        network = load_network(folder)
        data = cp.load_data(str(network.about["data"]))
        started, wall = process_time(), perf_counter()
        bundle = cp.compile(network, data, limits=cp.Limits(max_disagreement=most_changed))
        save_bundle(bundle, place / "bundle", force=True)
        found = {
            "accuracy": network.about.get("accuracy_after"),
            "most_changed": most_changed,
            "compile_seconds": process_time() - started,
            "compile_wall_seconds": perf_counter() - wall,
            "compile_peak_bytes": peak_rss_bytes(),
        }
        record.write_text(json.dumps(found))
    bundle = _bundle(place)
    plan, report = bundle.server.plan, bundle.report
    facts: dict[str, Any] = {
        "data": report["about"]["data"],
        # in a row: squares side by side, of the parts of one value, are at one level
        "squarings": len({op.level for op in plan.ops if op.kind in (Kind.SQUARE, Kind.MULTIPLY)}),
        "degree": report["poly_modulus_degree"],
        "levels": report["levels"],
        "log2_qp": report["log2_qp"],
        "predicted_server_ms": report["predicted_server_ms"],
        "bound": bundle.client.predicted_logit_error,
        "key_memory_bytes": server_memory(plan).keys,
    }
    _send(sender, json.loads(record.read_text()) | facts)


def encrypt_step(place: Path, images: int, sender: Connection) -> None:
    """Make a client's keys, and a request of every image."""
    spec = load_client(place / "bundle")
    assert isinstance(spec, ClientSpec), "a bundle for latency"
    key, secret = place / "evaluation.key", place / "secret.key"
    if not secret.exists():
        client = Client(spec, max_key_bytes=MOST_KEY_BYTES)
        key.write_bytes(client.evaluation_key.to_bytes())
        secret.write_bytes(client.secret_key.to_bytes())
    else:
        client = Client(spec, SecretKey.from_bytes(secret.read_bytes()), max_key_bytes=MOST_KEY_BYTES)
    for number, image in enumerate(_test_images(place, images)):
        request = place / f"request-{number}.ct"
        if not request.exists():
            request.write_bytes(client.encrypt(image))
    _send(sender, {"key_bytes": key.stat().st_size, "upload_bytes": (place / "request-0.ct").stat().st_size})


def serve_step(place: Path, images: int, threads: int, memory_bytes: float | None, sender: Connection) -> None:
    """Run the server, which this process is and nothing else. Seconds of an image are those of the plan alone."""
    record = place / f"served-{threads}.json"
    served: dict[str, Any] = {"seconds": [], "wall_seconds": [], "peak_bytes": 0, "memory_bytes": memory_bytes}
    if record.exists():
        served = json.loads(record.read_text())
    if len(served["seconds"]) < images:
        started = process_time()
        spec = load_server(place / "bundle")
        assert isinstance(spec, ServerSpec), "a bundle for latency"
        server = Server(spec, threads=threads, memory_bytes=memory_bytes)
        set_up, started = process_time() - started, process_time()
        server.register(place / "evaluation.key")
        served |= {"set_up_seconds": set_up, "register_seconds": process_time() - started}
    for number in range(len(served["seconds"]), images):
        key_id, ciphertexts = server.load_request((place / f"request-{number}.ct").read_bytes())
        started, wall = process_time(), perf_counter()
        answer = server.run_ciphertexts(key_id, ciphertexts)
        served["seconds"].append(process_time() - started)
        served["wall_seconds"].append(perf_counter() - wall)
        served["peak_bytes"] = max(served["peak_bytes"], peak_rss_bytes())
        (place / f"reply-{number}.ct").write_bytes(server.pack_reply(key_id, answer))
        record.write_text(json.dumps(served))
    _send(sender, served)


def compare_step(place: Path, images: int, sender: Connection) -> None:
    """Decrypt the replies, and run the plan in clear on the same images."""
    bundle = _bundle(place)
    client = Client(bundle.client, SecretKey.from_bytes((place / "secret.key").read_bytes()))
    clear = clear_outputs(bundle, _test_images(place, images))
    replies = ((place / f"reply-{number}.ct").read_bytes() for number in range(images))
    found = np.asarray([client.outputs(reply).ravel() for reply in replies])
    compared = {
        "images": images,
        "agreement": float((found.argmax(axis=1) == clear.argmax(axis=1)).mean()),
        "largest_error": float(np.abs(found - clear).max()),
    }
    _send(sender, compared)


def _bundle(place: Path) -> Bundle:
    bundle = load_bundle(place / "bundle")
    assert isinstance(bundle, Bundle), "a bundle for latency"
    return bundle


def _test_images(place: Path, images: int) -> NDArray[np.float32]:
    """The first test images of the data that the network was converted with."""
    return cp.load_data(str(_bundle(place).report["about"]["data"])).x_test[:images]


def _send(sender: Connection, found: dict[str, Any]) -> None:
    sender.send(found)
    sender.close()
