"""Models that a server is measured with: a server in a process of its own, and requests with the replies to them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

import cipherpress as cp
from benchmarks.replaying import Recorded
from cipherpress.remote.key_folder import EVALUATION_FILE
from secure.bundle.batch_specs import BatchBundle, BatchClientSpec
from secure.parties.server import Server
from secure.streams.client import BatchClient
from secure.streams.server import BatchServer

#: Requests of each model that are sent again and again, and of each model for batches.
DIFFERENT, DIFFERENT_BATCHES = 8, 2
#: Zoo networks that are served where no bundles are named, and their modes: plans of about 4, 12 and 110 ms for one
#: image, and 1,024 images in a body of 8 MB. So each kind of request is there, and what it costs beside its plan.
SERVED = {
    "mlp": ("mlp", "latency"),
    "cnn": ("cnn", "latency"),
    "lenet5": ("lenet5", "latency"),
    "mlp-batch": ("mlp", "throughput"),
}


@dataclass(frozen=True)
class Prepared:
    """A served model. folder: its bundle. key: the file of the evaluation key that the server holds; None for batches.
    images: of one request."""

    recorded: Recorded
    folder: Path
    key: Path | None
    images: int

    @property
    def name(self) -> str:
        return self.recorded.name


def make_bundles(folder: Path) -> list[Path]:
    """The bundles of `SERVED`, made from the zoo's networks as `cipherpress press` makes them."""
    from benchmarks.fixed_plans import PLAIN
    from benchmarks.savings import converted

    data, networks, paths = cp.load_data("mnist"), {}, []
    for name, (network, mode) in SERVED.items():
        if network not in networks:
            networks[network] = converted(network, PLAIN, data)
        cp.save(cp.compile(networks[network], data, mode=mode), folder / name, force=True)
        paths.append(folder / name)
    return paths


@contextmanager
def serving(
    bundles: Sequence[Path], workers: int, queue: int, options: Sequence[str] = ()
) -> Iterator[tuple[str, int]]:
    """(URL, process) of `cipherpress serve` on a free port. Its log goes nowhere, but is written."""
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "cli", "serve", *map(str, bundles), "--port", "0", "--json"]
        command += ["--workers", str(workers), "--queue", str(queue), "--data-dir", data, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"], process.pid
        finally:
            process.terminate()
            process.wait()


def prepared(bundle: Path, url: str, folder: Path) -> Prepared:
    """Requests of a served bundle, and the replies that this process computes, as files; the server holds the key and
    has answered each of them with the same bytes."""
    name, keys = bundle.name, folder / f"{bundle.name}-keys"
    with cp.RemoteClient(url, name, keys=keys) as remote:
        client = remote.connect()._known[1].party  # type: ignore[index]
        server = party_server(bundle, None if isinstance(client, BatchClient) else keys / EVALUATION_FILE)
        random, pairs = np.random.default_rng(0), []
        spec, count = client.spec, DIFFERENT
        shape, images = spec.input_shape, 1
        if isinstance(spec, BatchClientSpec):
            count, images = DIFFERENT_BATCHES, spec.params.slots
            shape = (images, *shape)
        for number in range(count):
            low, high = np.asarray(spec.input_low), np.asarray(spec.input_high)
            inputs = low + (high - low) * random.random((images, prod(spec.input_shape)))
            request = _encrypted(client, inputs.reshape(shape))
            reply = answer(server, request)
            assert remote.send(request) == reply, f"{name}: the reply over HTTP is that of this process"
            pair = folder / f"{name}-{number}.request", folder / f"{name}-{number}.reply"
            for path, content in zip(pair, (request, reply), strict=True):
                path.write_bytes(content)
            pairs.append(pair)
    requests, replies = zip(*pairs, strict=True)
    key = None if isinstance(client, BatchClient) else keys / EVALUATION_FILE
    return Prepared(Recorded(name, f"/v2/models/{name}/infer", requests, replies), bundle, key, images)


def _encrypted(client: Any, inputs: Any) -> bytes:
    content: bytes = client.encrypt_batch(inputs) if isinstance(client, BatchClient) else client.encrypt(inputs)
    return content


def party_server(bundle: Path, key: Path | None) -> Server | BatchServer:
    """The server of a bundle in this process."""
    loaded = cp.load(bundle)
    if isinstance(loaded, BatchBundle):
        return BatchServer(loaded.server)
    assert isinstance(loaded, cp.Bundle) and key is not None
    server = Server(loaded.server)
    server.register(key.read_bytes())
    return server


def answer(server: Server | BatchServer, request: bytes) -> bytes:
    """The reply to a request or a batch, as a worker computes it."""
    return server.run_batch(request) if isinstance(server, BatchServer) else server.run(request)
