"""Sizes of ciphertexts and keys: those of our own form exactly, those of SEAL's within a few percent."""

from dataclasses import replace

import numpy as np
import pytest

from secure.engine.tables import engine_order
from secure.params import make_params
from secure.parties.encryptor import Encryptor
from secure.parties.keys import SecretCipher, generate_keys
from secure.parties.packed import write_reply
from secure.seal.context import load_ciphertext, make_ring, to_bytes
from secure.seal.sizes import ciphertext_bytes, galois_keys_bytes, relin_keys_bytes
from tests.secure.plans import SMALL, small_bundle


@pytest.mark.parametrize("params", [SMALL, make_params(8192, [50, 40, 40], 54)])
def test_estimates_are_within_five_percent(params):
    spec = replace(small_bundle().client, params=params)
    ring = make_ring(params)
    secret, evaluation = generate_keys(spec, ring)
    slots, level = np.ones((1, params.slots)), params.levels
    seeded = SecretCipher(ring, secret).encrypt(slots[0], level, 2.0**20)
    full = to_bytes(load_ciphertext(ring, seeded, level, 2, "x.ct"))
    if params.fits_engine:
        (seeded,) = Encryptor(ring, secret, level).encrypt(slots, 2.0**20)
        order = np.argsort(engine_order(params.poly_modulus_degree))
        full = write_reply(params, order, np.zeros((2, level, params.poly_modulus_degree)))
    within = 0.0 if params.fits_engine else 0.05
    assert ciphertext_bytes(params, level, seeded=True) == pytest.approx(len(seeded), rel=within)
    assert ciphertext_bytes(params, level, seeded=False) == pytest.approx(len(full), rel=within)
    assert relin_keys_bytes(params) == pytest.approx(len(evaluation.items[0]), rel=0.05)
    assert galois_keys_bytes(params, 2) == pytest.approx(len(evaluation.items[1]), rel=0.05)
