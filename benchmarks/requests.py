"""What a request costs beside the plan: encryption and loading through SEAL and without it, in turn in one process.

    cipherpress bench requests -o out/bench        (or: python -m benchmarks.requests out/bench [BUNDLE ...])

Every request is encrypted, loaded and decrypted in both ways, one right after the other, and the order alternates. The
numbers are medians of CPU time on one thread. Bundles named on the command line are measured instead of the networks
below: the zoo's `mlp`, and a convolution of 3 x 3 over 3 x 32 x 32 with random weights, compiled for the least server
time and for the least round trip.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

import cipherpress as cp
from benchmarks.fixed_plans import NETWORKS
from benchmarks.machine import this_machine
from benchmarks.report import table_head, with_note, write_result
from benchmarks.savings import converted
from cipherpress.timing.cache import default_times
from compress.dataset import Progress
from compress.network import AvgPool, Conv, Dense, Input, Network, Polynomial, Reshape, Weights
from secure.bundle.files import load_bundle
from secure.bundle.specs import Bundle
from secure.compiling.compile import compile_network
from secure.layout.packing import input_vectors
from secure.limits import DEFAULT_LINK_MBIT_S, OBJECTIVES, Limits
from secure.parties.client import Client
from secure.parties.container import Container, ContainerKind, parse_for_server
from secure.parties.keys import SecretCipher
from secure.parties.server import Server
from secure.seal.context import load_ciphertext, make_ring

CHANNELS, SIZE = 8, 32
STEPS = ("encrypt_seal", "encrypt", "load_seal", "load", "run", "pack", "decrypt")


def run(output: Path, *, images: int = 30, progress: Progress | None = None) -> dict[str, Any]:
    """Measure every network with `images` requests; write requests.json and requests.md into `output`."""
    say = progress or (lambda label, share: None)
    data = cp.load_data("mnist")
    say("train mlp", 0.0)
    bundles = {"mlp": cp.compile(converted(*NETWORKS["mlp"], data), data)}
    for objective in OBJECTIVES:
        say(f"compile the convolution, {objective}", 0.5)
        bundles[f"convolution, {objective}"] = convolution_bundle(objective)
    return measure(bundles, images, output, f"cipherpress bench requests --images {images} -o DIR")


def convolution_bundle(objective: str, seed: int = 0) -> Bundle:
    """A convolution of 3 x 3 over 3 x 32 x 32 to 8 channels, a square, a pool of 2 x 2 and 10 outputs."""
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> Weights:
        return Weights(random.normal(size=shape) / np.sqrt(np.prod(shape[1:])), np.array(1.0))

    half, planes = SIZE // 2, (CHANNELS, SIZE, SIZE)
    flat = CHANNELS * half * half
    one = (1, 1)
    network = Network(
        nodes=(
            Input(name="x", inputs=(), shape=(3, SIZE, SIZE)),
            Conv(name="conv", inputs=("x",), shape=planes, weights=weights(CHANNELS, 3, 3, 3), bias=np.zeros(CHANNELS),
                 stride=one, padding=one, dilation=one, groups=1),
            Polynomial(name="act", inputs=("conv",), shape=planes, coefficients=np.array([[0.1], [0.5], [0.25]])),
            AvgPool(name="pool", inputs=("act",), shape=(CHANNELS, half, half), kernel=(2, 2), stride=(2, 2),
                    padding=(0, 0)),
            Reshape(name="flat", inputs=("pool",), shape=(flat,)),
            Dense(name="fc", inputs=("flat",), shape=(10,), weights=weights(10, flat), bias=np.zeros(10)),
        )
    )  # fmt: skip
    times = default_times()
    images = random.random((64, 3, SIZE, SIZE))
    limits = Limits(objective=objective)
    return compile_network(
        network, images, times=times.engine, seal_times=times.seal, request_times=times.requests, limits=limits
    )


def measure(bundles: Mapping[str, Bundle], images: int, output: Path, command: str) -> dict[str, Any]:
    """Measure compiled bundles, by name. command: the command that the note names."""
    rows = [{"network": name, **in_turn(bundle, images)} for name, bundle in bundles.items()]
    result = {"command": command, "images": images, "rows": rows, "machine": this_machine().as_json()}
    write_result(output / "requests.json", result, requests_table(result))
    return result


class Ways:
    """Both ways to encrypt and to load requests of one client."""

    def __init__(self, bundle: Bundle) -> None:
        self.spec, self.plan = bundle.client, bundle.server.plan
        self.client, self.server = Client(bundle.client), Server(bundle.server)
        self.server.register(self.client.evaluation_key)
        self._ring = make_ring(self.spec.params)
        self._cipher = SecretCipher(self._ring, self.client.secret_key)

    def encrypt_seal(self, image: Any) -> bytes:
        """A request that SEAL encodes and encrypts."""
        slots = input_vectors(image.ravel(), self.spec.input_slots)
        items = tuple(self._cipher.encrypt(row, self.spec.input_level, self.spec.input_scale) for row in slots)
        key_id = self.client.secret_key.key_id
        return Container(ContainerKind.REQUEST, self.spec.bundle_id, key_id, items).to_bytes()

    def load_seal(self, request: bytes) -> list[Any]:
        """The residues of a request that SEAL loads."""
        items = parse_for_server(request, ContainerKind.REQUEST, "request").items
        level = self.plan.input_level
        backend = self.server._backend
        return [backend.load(load_ciphertext(self._ring, item, level, 2, "request")) for item in items]


def in_turn(bundle: Bundle, images: int) -> dict[str, Any]:
    """Medians of CPU milliseconds of every step, the sizes of messages and the mean load."""
    ways = Ways(bundle)
    spec, client, server = ways.spec, ways.client, ways.server
    random = np.random.default_rng(0)
    rounds: list[dict[str, float]] = []
    loads, request, reply = [], b"", b""
    for number in range(images + 1):
        share = random.random(len(spec.input_low))
        image = (spec.input_low + (spec.input_high - spec.input_low) * share).reshape(spec.input_shape)
        turn = 1 if number % 2 else -1
        own: dict[str, float] = {}
        sent = {}
        for step, encrypt in (("encrypt", client.encrypt), ("encrypt_seal", ways.encrypt_seal))[::turn]:
            sent[step], own[step] = _timed(encrypt, image)
        request, seals = sent["encrypt"], sent["encrypt_seal"]
        for step, load, message in (("load", server.load_request, request), ("load_seal", ways.load_seal, seals))[
            ::turn
        ]:
            _, own[step] = _timed(load, message)
        key_id, values = server.load_request(request)
        outputs, own["run"] = _timed(server.run_ciphertexts, key_id, values)
        reply, own["pack"] = _timed(server.pack_reply, key_id, outputs)
        _, own["decrypt"] = _timed(client.decrypt, reply)
        rounds.append(own)
        loads.append(os.getloadavg()[0])
    request = client.encrypt(image)
    link_ms = (len(request) + len(reply)) * 8e-3 / DEFAULT_LINK_MBIT_S
    took = {f"{step}_ms": median(own[step] for own in rounds[1:]) for step in STEPS}  # the first one compiles
    rest_ms = link_ms + took["run_ms"] + took["pack_ms"] + took["decrypt_ms"]
    return {
        "poly_modulus_degree": spec.params.poly_modulus_degree,
        "level": spec.input_level,
        "ciphertexts": len(spec.input_slots),
        **took,
        "link_ms": link_ms,
        "round_trip_seal_ms": took["encrypt_seal_ms"] + took["load_seal_ms"] + rest_ms,
        "round_trip_ms": took["encrypt_ms"] + took["load_ms"] + rest_ms,
        "upload_bytes": len(request),
        "download_bytes": len(reply),
        "load_average": sum(loads) / len(loads),
    }


def _timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """(result, CPU milliseconds) of a call."""
    start = process_time()
    result = call(*arguments)
    return result, (process_time() - start) * 1e3


def requests_table(result: Mapping[str, Any]) -> str:
    """Markdown, with machine, date and command under it."""
    lines = table_head(
        ("network", "ring", "ciphertexts", "upload KB", "encrypt: SEAL, own ms", "load: SEAL, own ms", "plan ms",
         "write, decrypt ms", "link ms", "round trip: SEAL, own ms")
    )  # fmt: skip
    lines += [
        f"| {row['network']} | {row['poly_modulus_degree']}, level {row['level']} | {row['ciphertexts']} | "
        f"{row['upload_bytes'] / 1e3:,.0f} | {row['encrypt_seal_ms']:.1f}, {row['encrypt_ms']:.1f} | "
        f"{row['load_seal_ms']:.1f}, {row['load_ms']:.1f} | {row['run_ms']:.1f} | "
        f"{row['pack_ms']:.1f}, {row['decrypt_ms']:.1f} | {row['link_ms']:.1f} | "
        f"{row['round_trip_seal_ms']:.0f}, {row['round_trip_ms']:.0f} |"
        for row in result["rows"]
    ]
    machine = result["machine"]
    load = sum(row["load_average"] for row in result["rows"]) / len(result["rows"])
    note = (
        f"Medians of CPU time over {result['images']} requests, both ways in turn, one thread. Link: both messages at "
        f"{DEFAULT_LINK_MBIT_S:g} Mbit/s, without delay, computed. Load: {load:.1f}. "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}, `{result['command']}`."
    )
    return with_note(lines, note)


if __name__ == "__main__":
    folder, *paths = sys.argv[1:]
    named = {Path(path).name: load_bundle(Path(path)) for path in paths}
    told = "python -m benchmarks.requests DIR BUNDLE ..."
    found = measure(named, 30, Path(folder), told) if named else run(Path(folder))
    print(json.dumps(found["rows"], indent=1))
