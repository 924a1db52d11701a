"""The vectorized encoder against `secure.encoding`, in every ring, for any number of images and features."""

import numpy as np
import pytest

from secure.encoding import real_coefficients, real_slots
from secure.params import KEYLESS_RING_DEGREES
from secure.streams.encoder import cosine_tables, encode

SCALE = 2.0**20


def encoded(images, first, degree, scale=SCALE):
    result = np.empty((8, degree // 2))
    encode(images, first, scale, np.empty((3, 8 * degree // 2)), result, cosine_tables(degree))
    return result


@pytest.mark.parametrize("degree", KEYLESS_RING_DEGREES)
@pytest.mark.parametrize("features, first", [(8, 0), (9, 8), (19, 8), (3, 0)])
def test_coefficients_are_those_of_the_reference_rounded(degree, features, first):
    count = degree // 2 - 5 if features > 8 else degree // 2
    images = np.random.default_rng(degree + features).normal(size=(count, features))
    slots = np.zeros((8, degree // 2))
    used = min(8, features - first)
    slots[:used, :count] = images[:, first : first + used].T
    wanted, found = real_coefficients(slots) * SCALE, encoded(images, first, degree)
    assert (found == np.rint(found)).all()
    assert np.abs(found - wanted).max() < 0.5 + 1e-6
    assert not found[used:].any()


def test_one_image_and_the_first_slot():
    found = encoded(np.array([[1.0, -2.0]]), 0, 2048)
    assert found[:2, 0].tolist() == [np.rint(SCALE / 1024), np.rint(-2 * SCALE / 1024)]
    whole = np.concatenate([found, np.zeros((8, 1)), -found[:, :0:-1]], axis=1)
    slots = real_slots(whole) / SCALE
    assert np.abs(slots[:2, 0] - [1, -2]).max() < 1e-3
    assert np.abs(slots[:, 1:]).max() < 1e-3


def test_no_coefficient_is_larger_than_the_largest_input():
    """`BlockEncryptor` relies on it: a coefficient is a mean of slots, each times a cosine."""
    images = np.random.default_rng(1).choice([-3.0, 3.0], (1024, 8))
    images[:, 0] = 3.0
    assert np.abs(encoded(images, 0, 2048)).max() == 3 * SCALE
