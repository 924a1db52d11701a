"""A client and a server over HTTP: the same bytes as in one process, and no secret on the way or on the disk."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import httpx
import numpy as np
import pytest

import cipherpress as cp
from cipherpress.remote.key_folder import PIN_FILE
from cipherpress.service.app import PAGE_FOLDER
from compress.errors import BundleChangedError, ConfigError, ServiceError
from secure.parties.keys import SECRET_FILE, SecretKey
from secure.seal.context import make_ring, to_bytes
from tests.secure.plans import small_bundle, small_bundle_by_hand
from tests.secure.small_batches import every_step_by_hand
from tests.service.conftest import Party
from tests.service.running import Running, recorded
from tests.small_road import call_json

IMAGE = np.linspace(-0.9, 0.9, 32).reshape(4, 8)


def test_a_reply_over_http_is_that_of_one_process_bit_for_bit(served: Running, party: Party, tmp_path: Path) -> None:
    (tmp_path / "evaluation.key").write_bytes(party.key)
    (tmp_path / "secret.key").write_bytes(party.client.secret_key.to_bytes())
    with cp.RemoteClient(served.url, "small", keys=tmp_path) as remote:
        assert remote.send(party.request) == party.reply
    assert json.loads((tmp_path / PIN_FILE).read_text())["client_digest"]


def test_predictions_of_one_input_of_rows_and_of_batches(served: Running, tmp_path: Path) -> None:
    with cp.RemoteClient(served.url, "small", keys=tmp_path / "small") as remote:
        one, rows = remote.predict(IMAGE), remote.predict(np.stack([IMAGE, -IMAGE]))
    wanted = small_bundle_by_hand(small_bundle(), IMAGE)
    np.testing.assert_allclose(one, wanted, atol=0.05)
    assert rows.shape == (2, 2, 5)
    np.testing.assert_allclose(rows[0], wanted, atol=0.05)
    images = np.random.default_rng(3).uniform(-1, 1, (5, 2, 3))
    with cp.RemoteClient(served.url, "batch") as remote:
        np.testing.assert_allclose(remote.predict(images), every_step_by_hand(images), atol=0.15)
        np.testing.assert_allclose(remote.predict(images[1]), every_step_by_hand(images[1:2])[0], atol=0.15)


def test_a_batch_larger_than_the_server_takes_goes_in_several_requests(served: Running) -> None:
    images = np.random.default_rng(4).uniform(-1, 1, (4 * 2048 + 10, 2, 3))
    with cp.RemoteClient(served.url, "batch") as remote:
        assert np.abs(remote.predict(images) - every_step_by_hand(images)).max() < 0.15


def test_the_asynchronous_client_does_the_same(served: Running, tmp_path: Path) -> None:
    async def ask() -> np.ndarray:
        async with cp.AsyncRemoteClient(served.url, "small", keys=tmp_path) as remote:
            await remote.connect()
            answers = await asyncio.gather(*(remote.predict(sign * IMAGE) for sign in (1, -1, 1)))
            return np.array(answers)

    found = asyncio.run(ask())
    np.testing.assert_allclose(found[0], small_bundle_by_hand(small_bundle(), IMAGE), atol=0.05)
    np.testing.assert_allclose(found[0], found[2], atol=0.05)


def test_no_part_of_the_secret_key_is_sent_or_stored(served: Running, data_dir: Path, tmp_path: Path) -> None:
    with recorded(served.url) as relay, cp.RemoteClient(relay.url, "small", keys=tmp_path) as remote:
        remote.predict(IMAGE)
        secret = SecretKey.from_bytes((tmp_path / SECRET_FILE).read_bytes())
        native = to_bytes(secret.native(make_ring(remote.spec.params)))
    content = secret._content()
    samples = {secret.to_bytes(), content, native, *(content[start : start + 32] for start in range(64, 4096, 64))}
    stored = b"".join(path.read_bytes() for path in data_dir.rglob("*") if path.is_file())
    assert min(len(relay.sent), len(stored)) >= (tmp_path / "evaluation.key").stat().st_size
    for place in (bytes(relay.sent), bytes(relay.received), stored):
        assert not any(sample in place for sample in samples)


def test_the_command_makes_keys_and_shows_the_classes(served: Running, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGE)
    arguments = (served.url, "--model", "small", "--input", tmp_path / "x.npy", "--key", tmp_path / "keys")
    first = call_json("predict", *arguments, "-o", tmp_path / "y.npy")
    wanted = small_bundle_by_hand(small_bundle(), IMAGE)
    np.testing.assert_allclose(first["scores"], wanted, atol=0.05)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), wanted, atol=0.05)
    np.save(tmp_path / "xs.npy", np.zeros((3, 2, 3)))
    arguments = (served.url, "--model", "batch", "--input", tmp_path / "xs.npy", "--key", tmp_path / "batch-keys")
    assert call_json("predict", *arguments)["images"] == 3


def test_keys_are_uploaded_once(served: Running, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    for _ in range(2):
        with cp.RemoteClient(
            served.url, "small", keys=tmp_path, progress=lambda held, whole: steps.append((held, whole))
        ) as remote:
            remote.connect()
    whole = (tmp_path / "evaluation.key").stat().st_size
    assert steps[-2:] == [(whole, whole)] * 2 and len(steps) == -(-whole // 2**20) + 1


def test_another_bundle_than_the_pinned_one_is_refused(served: Running, tmp_path: Path) -> None:
    with cp.RemoteClient(served.url, "small", keys=tmp_path) as remote:
        remote.connect()
    with pytest.raises(BundleChangedError, match=f"model 'batch': .* {tmp_path} says .*ask its owner"):
        cp.RemoteClient(served.url, "batch", keys=tmp_path).connect()
    with pytest.raises(BundleChangedError, match="client_digest says 000000000000"):
        cp.RemoteClient(served.url, "small", client_digest="0" * 64).connect()


def test_what_is_missing_is_named(served: Running) -> None:
    with pytest.raises(ConfigError, match="model: got None; allowed: one of small, batch"):
        cp.RemoteClient(served.url).connect()
    with pytest.raises(ServiceError, match="answers 404: model: there is none here"):
        cp.RemoteClient(served.url, "nothing").connect()


def test_a_server_says_what_it_took_and_offers_no_script_from_elsewhere(served: Running, party: Party) -> None:
    with httpx.Client(base_url=served.url) as http:
        assert http.get("/v2/health/ready").json() == {"ready": True}
        metadata = http.get("/v2/models/small").json()
        assert metadata["parameters"]["max_request_bytes"] > len(party.request)
        answer = http.get("/docs")
        assert "script-src 'self' 'wasm-unsafe-eval'" in answer.headers["content-security-policy"]
        assert "<script" not in answer.text and "https://" not in answer.text
        assert b"cipherpress_workers 2.0" in http.get("/metrics").content


def test_the_page_and_its_code_are_small() -> None:
    """A browser that opens the page for the first time loads all of it."""
    files = [path for path in PAGE_FOLDER.rglob("*") if path.is_file() and path.suffix != ".c"]
    names = {path.name for path in files}
    assert {"index.html", "core.wasm"} <= names
    assert 10_000 < sum(len(gzip.compress(path.read_bytes())) for path in files) < 3_000_000
