"""Client and server of throughput bundles together: what is encrypted comes back, in any number of images."""

import numpy as np
import pytest

from secure.params import ERROR_STD
from secure.streams.client import BatchClient
from secure.streams.server import BatchServer
from tests.secure.batches_by_hand import ONE_PRIME, SEVERAL_PRIMES, bundle_of, same

SCALE = 2.0**16


@pytest.mark.parametrize(
    "params, dropped", [(ONE_PRIME, 0), (ONE_PRIME, 9), (SEVERAL_PRIMES, 0)], ids=["one prime", "dropped", "several"]
)
@pytest.mark.parametrize("blocks, images", [(0, 1), (0, 2), (1, -1), (1, 0), (1, 1)])
def test_images_come_back_in_order(params, dropped, blocks, images):
    bundle = bundle_of((same(6, SCALE),), (2, 3), SCALE, params=params, dropped=dropped)
    client, server = BatchClient(bundle.client), BatchServer(bundle.server)
    count = blocks * params.slots + images
    batch = np.random.default_rng(count).uniform(-1, 1, (count, 2, 3))
    found = client.decrypt_batch(server.run_batch(client.encrypt_batch(batch)))
    error_std = np.sqrt(params.poly_modulus_degree / 2 * (ERROR_STD**2 + (4**dropped + 1) / 12)) / SCALE
    assert found.shape == (count, 6)
    assert np.abs(found - batch.reshape(count, 6)).max() < 6.5 * error_std
