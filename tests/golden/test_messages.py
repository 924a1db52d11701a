"""The committed messages are read as they were written: keys, requests and replies of both modes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from secure.parties.container import ContainerKind, kind_of
from tests.golden.make_messages import FOLDER, MESSAGES

KINDS = {
    "latency": (ContainerKind.REQUEST, ContainerKind.REPLY),
    "throughput": (ContainerKind.BATCH_REQUEST, ContainerKind.BATCH_REPLY),
}


def read(mode: str, name: str) -> bytes:
    return (MESSAGES / mode / name).read_bytes()


def numbers(mode: str) -> tuple[np.ndarray, np.ndarray]:
    found = json.loads(read(mode, "numbers.json"))
    return np.array(found["input"]), np.array(found["output"])


@pytest.mark.parametrize("mode", KINDS)
def test_messages_are_of_their_kinds(mode: str) -> None:
    assert kind_of(read(mode, "secret.key")) is ContainerKind.SECRET_KEY
    assert (kind_of(read(mode, "request.ct")), kind_of(read(mode, "reply.ct"))) == KINDS[mode]


def test_a_reply_decrypts_to_its_numbers() -> None:
    bundle = cp.load(FOLDER / "bundle")
    client = cp.Client(bundle.client, cp.SecretKey.from_bytes(read("latency", "secret.key")))
    _, outputs = numbers("latency")
    np.testing.assert_allclose(client.decrypt(read("latency", "reply.ct")), outputs, atol=1e-9)


def test_a_request_under_its_key_gives_its_numbers() -> None:
    bundle = cp.load(FOLDER / "bundle")
    server = cp.Server(bundle.server)
    server.register(read("latency", "evaluation.key"))
    client = cp.Client(bundle.client, cp.SecretKey.from_bytes(read("latency", "secret.key")))
    _, outputs = numbers("latency")
    found = client.decrypt(server.run(read("latency", "request.ct")))
    np.testing.assert_allclose(found, outputs, atol=bundle.client.predicted_logit_error)


def test_a_batch_gives_the_same_bytes_and_numbers() -> None:
    bundle = cp.load(FOLDER / "batch-bundle")
    reply = cp.Server(bundle.server).run_batch(read("throughput", "request.ct"))
    assert reply == read("throughput", "reply.ct")
    client = cp.Client(bundle.client, cp.SecretKey.from_bytes(read("throughput", "secret.key")))
    _, outputs = numbers("throughput")
    np.testing.assert_allclose(client.decrypt_batch(reply), outputs, atol=1e-9)


def test_messages_are_small() -> None:
    assert sum(path.stat().st_size for path in Path(MESSAGES).rglob("*") if path.is_file()) < 1_300_000
