"""A key that is registered from its file is that of its bytes, and a broken file is refused as its bytes are."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compress.errors import CipherpressError, FormatError, KeyMismatchError
from secure.file_bytes import open_bytes
from secure.key_shape import HEAD, KeyShape
from secure.parties.client import Client
from secure.parties.container import HASH_BYTES, HEADER
from secure.parties.keys import EvaluationKey
from secure.parties.server import Server
from tests.secure.key_items import with_items
from tests.secure.plans import small_bundle

BUNDLES = {"own keys": small_bundle(own_keys=True), "SEAL's keys": small_bundle()}


@pytest.fixture(scope="module")
def clients():
    return {name: Client(bundle.client) for name, bundle in BUNDLES.items()}


@pytest.fixture(scope="module")
def servers():
    return {name: Server(bundle.server) for name, bundle in BUNDLES.items()}


def registered_arrays(server: Server, key_id: bytes) -> list:
    keys = server._registrations.evaluator(key_id, "test")._keys
    return [keys.relin, *(keys.galois[element] for element in sorted(keys.galois))]


@pytest.mark.parametrize("name", BUNDLES)
def test_a_key_from_its_file_and_from_its_bytes_is_the_same(name, clients, servers, tmp_path):
    client, server, file = clients[name], servers[name], tmp_path / "evaluation.key"
    file.write_bytes(client.evaluation_key.to_bytes())
    request, found = client.encrypt(np.random.default_rng(3).uniform(-1, 1, (4, 8))), []
    for key in (file, file.read_bytes()):
        assert server.register(key) == client.evaluation_key.key_id
        found.append((registered_arrays(server, client.evaluation_key.key_id), server.run(request)))
        server.forget(client.evaluation_key.key_id)
    (streamed, one), (whole, other) = found
    assert one == other
    for left, right in zip(streamed, whole, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_key_may_come_through_a_pipe(clients, servers, tmp_path):
    client, server, pipe = clients["own keys"], servers["own keys"], tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        written = pool.submit(pipe.write_bytes, client.evaluation_key.to_bytes())
        assert server.register(pipe) == client.evaluation_key.key_id
        assert written.result() == len(client.evaluation_key.to_bytes())
    server.forget(client.evaluation_key.key_id)


def refusal(server: Server, key: Path | bytes) -> tuple[type, str]:
    with pytest.raises(CipherpressError, match=r".") as caught:
        server.register(key, "evaluation.key")
    return type(caught.value), str(caught.value)


def broken(client: Client, bundle) -> dict[str, bytes]:
    """Files that are no key of this bundle, by what is wrong with them."""
    key = client.evaluation_key
    content = key.to_bytes()
    relin, galois = key.items
    middle = len(content) // 2
    files = {
        "empty": b"",
        "header alone": content[: HEADER.size],
        "without lengths": content[: HEADER.size + 7 + HASH_BYTES],
        "truncated": content[:-1000],
        "longer": content + b"0",
        "altered": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "other magic": b"CIPHPRS9" + content[8:],
        "secret key": client.secret_key.to_bytes(),
        "request": client.encrypt(np.zeros((4, 8))),
        "other bundle": replace(key, bundle_id="ab" * 32).to_bytes(),
        "long digest": replace(key, client_digest="cd" * 64).to_bytes(),
        "other id": replace(key, key_id=b"0" * 16).to_bytes(),
        "no rotations": with_items(key, relin, b"").to_bytes(),
        "items changed over": with_items(key, galois, relin).to_bytes(),
        "item cut": with_items(key, relin, galois[:-8]).to_bytes(),
        "item of noise": with_items(key, relin, np.random.default_rng(0).bytes(len(galois))).to_bytes(),
    }
    if bundle is BUNDLES["own keys"]:
        size = KeyShape(bundle.client.params, bundle.client.keys.galois_levels[0]).packed_bytes
        ones = HEAD.size + size - 64
        files["residue too large"] = with_items(
            key, relin, galois[:ones] + b"\xff" * 64 + galois[ones + 64 :]
        ).to_bytes()
    return files


@pytest.mark.parametrize("name", BUNDLES)
def test_a_broken_file_is_refused_with_the_words_for_its_bytes(name, clients, servers, tmp_path):
    server, kinds = servers[name], set()
    for wrong, content in broken(clients[name], BUNDLES[name]).items():
        file = tmp_path / "evaluation.key"
        file.write_bytes(content)
        expected = refusal(server, content)
        assert refusal(server, file) == expected, wrong
        kinds.add(expected[0].__name__)
    assert kinds == {"FormatError", "KeyMismatchError", "SecretKeyError"}
    assert len(server._registrations) == 0


def test_a_file_that_changes_while_it_is_read_is_refused_and_nothing_is_registered(clients, tmp_path, monkeypatch):
    server, file = Server(BUNDLES["own keys"].server), tmp_path / "evaluation.key"
    content = clients["own keys"].evaluation_key.to_bytes()
    file.write_bytes(content)
    load = server._load

    def writing(change):
        def loaded(*arguments):
            change()
            return load(*arguments)

        return loaded

    monkeypatch.setattr(server, "_load", writing(lambda: os.truncate(file, len(content) // 2)))
    with pytest.raises(FormatError, match=r"key.file: the file became shorter while it was read"):
        server.register(file, "key.file")
    file.write_bytes(content)
    monkeypatch.setattr(server, "_load", writing(lambda: os.utime(file, ns=(0, 0))))
    with pytest.raises(FormatError, match=r"key.file: the file was written to while it was read"):
        server.register(file, "key.file")
    with pytest.raises(KeyMismatchError, match="no evaluation key .* is registered"):
        server.run(clients["own keys"].encrypt(np.zeros((4, 8))))


def test_parts_of_a_file_are_its_bytes(tmp_path):
    file, content = tmp_path / "some", bytes(range(256)) * 3
    file.write_bytes(content)
    with open_bytes(file, "some") as found:
        assert len(found) == len(content) and bytes(found) == content
        for place in (slice(0, 0), slice(5, 9), slice(None), slice(-32, None), slice(700, 9000)):
            part = found.part(place)
            assert found[place] == bytes(part) == content[place]
            assert part[2:-1] == content[place][2:-1]
    with pytest.raises(OSError, match="No such file"), EvaluationKey.opened(tmp_path / "none"):
        pass
