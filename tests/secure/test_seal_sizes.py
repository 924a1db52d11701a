"""Estimated sizes, against the bytes that SEAL writes, and those that a client writes for a request."""

from dataclasses import replace

import numpy as np
import pytest

from secure.params import make_params
from secure.parties.encryptor import Encryptor
from secure.parties.keys import generate_keys
from secure.seal.context import load_ciphertext, make_ring, to_bytes
from secure.seal.sizes import ciphertext_bytes, galois_keys_bytes, relin_keys_bytes
from tests.secure.plans import SMALL, small_bundle


@pytest.mark.parametrize("params", [SMALL, make_params(8192, [50, 40, 40], 54)])
def test_estimates_are_within_five_percent(params):
    spec = replace(small_bundle().client, params=params)
    ring = make_ring(params)
    secret, evaluation = generate_keys(spec, ring)
    (seeded,) = Encryptor(ring, secret, params.levels).encrypt(np.ones((1, params.slots)), 2.0**20)
    full = to_bytes(load_ciphertext(ring, seeded, params.levels, 2, "x.ct"))
    assert ciphertext_bytes(params, params.levels, seeded=True) == pytest.approx(len(seeded), rel=0.05)
    assert ciphertext_bytes(params, params.levels, seeded=False) == pytest.approx(len(full), rel=0.05)
    assert relin_keys_bytes(params) == pytest.approx(len(evaluation.items[0]), rel=0.05)
    assert galois_keys_bytes(params, 2) == pytest.approx(len(evaluation.items[1]), rel=0.05)
