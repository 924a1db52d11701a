"""Two small bundles on disk, and one server of both that a module of tests shares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from secure.bundle.files import save_bundle
from tests.secure.plans import small_bundle
from tests.secure.small_batches import small_batch_bundle
from tests.service.running import Running, running


@dataclass(frozen=True)
class Party:
    """A client of the small bundle in this process, with a request and the reply that the plan gives."""

    folder: Path
    client: object
    key: bytes
    request: bytes
    reply: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.key).hexdigest()


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundles `small` (latency) and `batch` (throughput)."""
    folder = tmp_path_factory.mktemp("bundles")
    save_bundle(small_bundle(), folder / "small")
    save_bundle(small_batch_bundle(), folder / "batch")
    return folder


@pytest.fixture(scope="session")
def party(bundles: Path) -> Party:
    client = cp.Client(cp.load_client(bundles / "small"))
    key, request = client.evaluation_key.to_bytes(), client.encrypt(np.linspace(-1, 1, 32).reshape(4, 8))
    server = cp.Server(cp.load_server(bundles / "small"))
    server.register(key)
    return Party(bundles / "small", client, key, request, server.run(request))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def served(bundles: Path, data_dir: Path) -> Iterator[Running]:
    with running(bundles / "small", bundles / "batch", options=("--data-dir", str(data_dir), "--workers", "2")) as one:
        yield one
