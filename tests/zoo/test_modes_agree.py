"""A network's answers in batches are those of single requests, within the error bounds of both plans."""

from __future__ import annotations

import numpy as np
import pytest

import cipherpress as cp
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.network import Network
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.specs import Bundle
from secure.streams.client import BatchClient
from secure.streams.server import BatchServer
from secure.verify.roundtrip import encrypted_outputs
from tests.promised import bounds_of, check_agreement, check_answers

#: Images of the batch, and how many of them are sent one by one too.
IMAGES, SINGLE = 200, 6


def check(network: Network, data: Dataset) -> None:
    """Both modes against each other and against the network in clear."""
    single, batches = cp.compile(network, data), cp.compile(network, data, mode="throughput")
    assert isinstance(single, Bundle) and isinstance(batches, BatchBundle)
    images = data.x_test[:IMAGES]
    client, server = BatchClient(batches.client), BatchServer(batches.server)
    together = client.decrypt_batch(server.run_batch(client.encrypt_batch(images)))
    alone, _ = encrypted_outputs(single, images[:SINGLE], lambda label, share: None)
    clear = network.run(images)
    check_answers(batches, together, clear)
    check_answers(single, alone, clear[:SINGLE])
    assert np.abs(alone - together[:SINGLE]).max() > 0
    same = np.mean(together.argmax(axis=1) == clear.argmax(axis=1))
    check_agreement(same, clear, bounds_of(batches, clear), batches.report["predicted_disagreement"])


@pytest.mark.slow
def test_the_fast_native_network_answers_alike_in_both_modes() -> None:
    check(cp.load_network("native-fast"), cp.load_data("mnist"))


@pytest.mark.slow
def test_two_squares_answer_alike_in_both_modes() -> None:
    check(cp.load_network("native-99"), cp.load_data("mnist"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "cnn", "lenet300", "lenet5"])
def test_a_reference_network_answers_alike_in_both_modes(name: str) -> None:
    data = cp.load_data("mnist")
    network = cp.convert(cp.load_model(name), data, Conversion(epochs=1), seed=0)
    check(network, data)
