"""Random networks of all node types through compiler, client and server: errors stay within the promised bound."""

from __future__ import annotations

import numpy as np
import pytest

from secure.streams.client import BatchClient
from secure.streams.server import BatchServer
from secure.throughput.compile import compile_throughput
from tests.secure.coded_networks import random_network

#: Two squares with noise that is not small beside the inputs (23), outputs that are alike (16) or always 0 (37), all
#: kinds of steps (1, 3, 5, 20, 33), products under bits that are not sent (50).
SEEDS = (1, 3, 5, 16, 20, 23, 33, 37, 50)


@pytest.mark.parametrize("seed", SEEDS)
def test_encrypted_answers_are_within_the_bound(seed: int) -> None:
    network = random_network(seed, 5, exact=True)
    images = np.random.default_rng(0).uniform(-1, 1, size=(300, *network.input_shape))
    bundle = compile_throughput(network, images)
    client, server = BatchClient(bundle.client), BatchServer(bundle.server)
    found = client.decrypt_batch(server.run_batch(client.encrypt_batch(images[:100])))
    assert found.shape == (100, *network.output_shape)
    assert np.abs(found - network.run(images[:100])).max() <= bundle.client.predicted_logit_error
