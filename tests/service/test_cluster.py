"""The same service on a Ray cluster of two nodes: the same bytes, and no accepted request without an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cipherpress as cp
from cipherpress.service.settings import ServiceSettings
from tests.secure.plans import small_bundle, small_bundle_by_hand
from tests.secure.small_batches import every_step_by_hand
from tests.service.conftest import Party
from tests.service.running import Running, running

pytest.importorskip("ray")
Cluster = pytest.importorskip("cipherpress.service.cluster").Cluster
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

IMAGE = np.linspace(-0.9, 0.9, 32).reshape(4, 8)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes, with two cores and one."""
    from ray.cluster_utils import Cluster as Nodes

    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    nodes.second = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    try:
        yield nodes
    finally:
        nodes.shutdown()


@pytest.fixture(scope="module")
def served_by_cluster(bundles: Path, cluster: Any) -> Iterator[Running]:
    options = ("--engine", "ray", "--address", cluster.address, "--workers", "2", "--request-seconds", "120")
    with running(bundles / "small", options=options) as one:
        yield one


def test_a_reply_is_that_of_one_process_bit_for_bit(served_by_cluster: Running, party: Party, tmp_path: Path) -> None:
    (tmp_path / "evaluation.key").write_bytes(party.key)
    (tmp_path / "secret.key").write_bytes(party.client.secret_key.to_bytes())
    with cp.RemoteClient(served_by_cluster.url, "small", keys=tmp_path) as remote:
        assert remote.send(party.request) == party.reply


def test_batches_run_there_too(bundles: Path, cluster: Any) -> None:
    images = np.random.default_rng(3).uniform(-1, 1, (5, 2, 3))
    options = ("--engine", "ray", "--address", cluster.address)
    with running(bundles / "batch", options=options) as one, cp.RemoteClient(one.url, "batch") as remote:
        np.testing.assert_allclose(remote.predict(images), every_step_by_hand(images), atol=0.15)


def test_a_replica_leaves_nothing_on_its_disk(bundles: Path) -> None:
    from cipherpress.service.replica import Replica

    files = {str(path.relative_to(bundles / "batch")): path.read_bytes() for path in (bundles / "batch").rglob("*.*")}
    replica, spec = Replica("batch", files, 1, 2**30), cp.load(bundles / "batch")
    client = cp.Client(spec.client)
    request = client.encrypt_batch(np.zeros((5, 2, 3)))
    fields = {"do": "run_batch", "model": "batch"}
    answer, reply = asyncio.run(replica.answer(fields, request, None))
    assert "error" not in answer and client.decrypt_batch(reply).shape[0] == 5
    folder = replica._folder
    assert [path.name for path in folder.iterdir()] == ["bundle"], "requests, replies and keys are gone"
    replica.__del__()
    assert not folder.exists()


def test_a_node_that_dies_loses_no_request(served_by_cluster: Running, cluster: Any, tmp_path: Path) -> None:
    wanted, found, lost = small_bundle_by_hand(small_bundle(), IMAGE), [], []
    begun = threading.Semaphore(0)

    def ask(number: int) -> None:
        with cp.RemoteClient(served_by_cluster.url, "small", keys=tmp_path / str(number)) as remote:
            for _ in range(30):
                try:
                    found.append(remote.predict(IMAGE))
                except cp.ServiceError as error:
                    lost.append(error)
                begun.release()

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for client in clients:
        client.start()
    for _ in range(15):
        begun.acquire()
    cluster.remove_node(cluster.second, allow_graceful=False)
    for client in clients:
        client.join()
    assert len(found) + len(lost) == 90
    assert not lost
    for answer in found:
        np.testing.assert_allclose(answer, wanted, atol=0.05)


def test_more_replicas_than_cores_are_refused(bundles: Path, cluster: Any) -> None:
    settings = ServiceSettings(bundles={"small": bundles / "small"}, workers=64)
    with pytest.raises(cp.ServiceError, match="free cores, 1 bundles with 64 replicas take 64"):
        asyncio.run(Cluster(settings, cluster.address, 64).start())
