"""What the encoder does to a vector, compared with SEAL itself and with cases worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenseal import sealapi

from secure.encoding import encoding_error

DEGREE = 4096
SLOTS = DEGREE // 2


@pytest.fixture(scope="module")
def encoder():
    parms = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    parms.set_poly_modulus_degree(DEGREE)
    parms.set_coeff_modulus(sealapi.CoeffModulus.Create(DEGREE, [36, 36, 37]))
    return sealapi.CKKSEncoder(sealapi.SEALContext(parms, True, sealapi.SEC_LEVEL_TYPE.TC128))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 40, SLOTS]), st.floats(0, 20))
def test_the_encoding_error_equals_that_of_seal(encoder, seed, filled, log2_scale):
    random = np.random.default_rng(seed)
    slots = np.zeros(SLOTS)
    slots[random.choice(SLOTS, filled, replace=False)] = random.normal(size=filled)
    plaintext = sealapi.Plaintext()
    encoder.encode(slots.tolist(), 2.0**log2_scale, plaintext)
    found = np.array(encoder.decode_double(plaintext)) - slots
    # a coefficient on a half may be rounded either way: half a step in one coefficient is at most one in any slot
    assert np.abs(found - encoding_error(slots, 2.0**log2_scale).real).max() < 1e-9


def test_a_vector_of_few_slots_is_rounded_to_zero():
    """One slot of 1 at scale 100: every coefficient is at most 2 * 100 / 4096 < 1/2, so all are rounded to zero."""
    slots = np.zeros(SLOTS)
    slots[17] = 1.0
    assert np.allclose(encoding_error(slots, 100.0), -slots, atol=1e-12)


def test_a_constant_vector_has_one_coefficient_to_round():
    """0.3 in every slot at scale 8 is the constant 2.4, which is rounded to 2."""
    assert np.allclose(encoding_error(np.full(SLOTS, 0.3), 8.0), -0.4 / 8)


def test_a_full_irregular_vector_has_white_errors_that_are_real():
    """Real slots make antisymmetric coefficients and rounding keeps them so, so no error is imaginary."""
    slots = np.random.default_rng(0).normal(size=(50, SLOTS))
    error = encoding_error(slots, 2.0**10) * 2.0**10
    assert np.mean(error**2) == pytest.approx(DEGREE / 12, rel=0.02)
