"""Writes messages/ anew: `python tests/golden/make_messages.py`, from the root of a checkout.

Keys, requests and replies of both golden bundles, with the numbers that they hold, so that a reader of another
language can be tried without a server. Keys and noise are drawn, so every run writes other bytes: run it only when a
format has changed, with a new version number.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))  # the checkout, when this runs as a script

import numpy as np  # noqa: E402

import cipherpress as cp  # noqa: E402
from compress.artifact import write_file  # noqa: E402

MESSAGES = FOLDER / "messages"


def make(folder: Path) -> None:
    """Write all messages into a folder."""
    bundle = cp.load(FOLDER / "bundle")
    client, server = cp.Client(bundle.client), cp.Server(bundle.server)
    server.register(client.evaluation_key)
    values = np.arange(32).reshape(4, 8) / 32
    request = client.encrypt(values)
    _write(folder / "latency", client, request, server.run(request), values, client.decrypt)
    write_file(folder / "latency" / "evaluation.key", client.evaluation_key.to_bytes(), force=True)
    bundle = cp.load(FOLDER / "batch-bundle")
    client, server = cp.Client(bundle.client), cp.Server(bundle.server)
    values = np.arange(12).reshape(2, 2, 3) / 16
    request = client.encrypt_batch(values)
    _write(folder / "throughput", client, request, server.run_batch(request), values, client.decrypt_batch)


def _write(folder: Path, client: object, request: bytes, reply: bytes, values: np.ndarray, decrypt: object) -> None:
    numbers = {"input": values.tolist(), "output": decrypt(reply).tolist()}
    files = {
        "secret.key": client.secret_key.to_bytes(),
        "request.ct": request,
        "reply.ct": reply,
        "numbers.json": json.dumps(numbers).encode(),
    }
    for name, content in files.items():
        write_file(folder / name, content, force=True)


if __name__ == "__main__":
    make(MESSAGES)
