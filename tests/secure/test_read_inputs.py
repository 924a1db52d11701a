"""Inputs that no step reads are not sent: the client's part names those that are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from compress.errors import FormatError, InputRangeError, PlanError
from compress.network import Dense, Network, Weights
from secure.bundle.batch_client import batch_client_fault
from secure.bundle.batch_plan_file import batch_client_disagreement
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.client_parts import read_read_inputs
from secure.bundle.fields import Fields
from secure.bundle.files import load_bundle, save_bundle
from secure.coded.clear import run_clear
from secure.coded.dry import dry_run
from secure.limits import Limits
from secure.residues.narrow import with_read_inputs
from secure.streams.client import BatchClient
from secure.streams.server import BatchServer
from secure.throughput.compile import compile_throughput
from secure.verify.batch_roundtrip import clear_batch_outputs
from tests.secure.coded_networks import quadratic_network

UNREAD = (0, 3, 4, 11)
READ = (1, 2, 5, 6, 7, 8, 9, 10)


def rows(count: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-1, 1, size=(count, 12))


def pruned() -> Network:
    """A network whose first layer does not read some of its inputs."""
    network = quadratic_network(6)
    nodes = list(network.nodes)
    first = nodes[1]
    assert isinstance(first, Dense)
    codes = first.weights.codes.copy()
    codes[:, list(UNREAD)] = 0
    nodes[1] = replace(first, weights=Weights(codes, first.weights.step, bits=6))
    return replace(network, nodes=tuple(nodes))


@pytest.fixture(scope="module")
def bundle() -> BatchBundle:
    return compile_throughput(pruned(), rows(400, 1), held_out=rows(1000, 2), limits=Limits(max_error=0.5))


def test_a_client_sends_what_is_read(bundle: BatchBundle) -> None:
    client, plan = bundle.client, bundle.server.plan
    assert client.read_inputs == plan.read_inputs == READ
    assert client.inputs == plan.inputs == len(READ) + len(client.units) == bundle.report["inputs"]
    images = rows(100, 3)
    sender, server = BatchClient(client), BatchServer(bundle.server)
    request = sender.encrypt_batch(images)
    slots, bits = client.params.slots, client.params.log2_qp
    assert len(request) < 1.1 * client.inputs * 2 * slots * (bits + 1) / 8 + 1000
    found = sender.decrypt_batch(server.run_batch(request))
    assert np.abs(found - pruned().run(images)).max() < client.predicted_logit_error
    changed = images.copy()
    changed[:, list(UNREAD)] = 0.5
    np.testing.assert_array_equal(run_clear(plan, images), run_clear(plan, changed))
    changed[:, 0] = 1e6  # what is not sent is checked all the same
    with pytest.raises(InputRangeError, match="image 0"):
        sender.encrypt_batch(changed)


def test_bundles_that_leave_inputs_out_are_written_and_read(bundle: BatchBundle, tmp_path: Path) -> None:
    save_bundle(bundle, tmp_path / "bundle")
    read = load_bundle(tmp_path / "bundle")
    assert isinstance(read, BatchBundle) and read.client.read_inputs == READ == read.server.plan.read_inputs
    assert read.server.bundle_id == bundle.server.bundle_id
    assert "sent      8 of 12 inputs; nothing reads the others" in read.explain()
    other = replace(bundle.client, read_inputs=(0, *READ[1:]))
    assert batch_client_disagreement(other, bundle.server.plan) == "read_inputs"


def test_a_network_that_reads_all_inputs_names_none() -> None:
    full = compile_throughput(quadratic_network(6), rows(400, 1), limits=Limits(max_error=0.5))
    assert full.client.read_inputs == () and with_read_inputs(full.server.plan) is full.server.plan


@pytest.mark.parametrize("wrong", [(2, 1), (1, 1), (-1, 3), (3, 12)])
def test_numbers_that_are_no_inputs_are_refused(bundle: BatchBundle, wrong: tuple[int, ...]) -> None:
    fault = batch_client_fault(replace(bundle.client, read_inputs=wrong))
    assert fault is not None and fault[0] == "read_inputs"
    with pytest.raises(FormatError, match="field 'read_inputs' is"):
        read_read_inputs(Fields("client.json", {"read_inputs": list(wrong)}), 12)
    with pytest.raises(PlanError, match="field 'read_inputs'"):
        dry_run(replace(bundle.server.plan, read_inputs=wrong))


def test_a_round_trip_runs_the_same_plan_in_clear(bundle: BatchBundle) -> None:
    images = rows(50, 4)
    np.testing.assert_array_equal(clear_batch_outputs(bundle, images), run_clear(bundle.server.plan, images))
