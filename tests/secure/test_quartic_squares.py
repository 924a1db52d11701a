"""Cubics and quartics from two squarings: exact for all coefficients, never much more sensitive than the product."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secure.stages.quartic_squares import SENSITIVITY_RATIO, product_form, quartic_squares

#: From far below to far above the other coefficients, and zero.
coefficient = st.one_of(
    st.just(0.0), st.builds(lambda sign, log: sign * 10.0**log, st.sampled_from([-1, 1]), st.floats(-15, 3))
)
Z = np.linspace(-1, 1, 33)


def size_of(form):
    """(firsts, seconds, whether the result reads the first squares, whether it reads z)."""
    return len(form.shifts), len(form.signs), bool(form.first.any()), bool(form.slope.any())


@given(st.lists(st.tuples(*[coefficient] * 5), min_size=1, max_size=3))
def test_every_quartic_is_exact_to_rounding(rows):
    d = np.array(rows).T
    wanted = np.polynomial.polynomial.polyval(Z, d)
    size = np.abs(d).sum(axis=0)[:, None]
    z = np.broadcast_to(Z, (len(rows), len(Z)))
    chosen, product = quartic_squares(d), product_form(d)
    assert (np.abs(chosen.evaluate(z) - wanted) <= 1e-12 * size).all()
    assert (np.abs(product.evaluate(z) - wanted) <= 1e-14 * size).all()
    assert (chosen.sensitivity() <= SENSITIVITY_RATIO * product.sensitivity()).all()


@given(st.tuples(*[coefficient] * 5))
def test_no_square_of_the_product_is_larger_than_the_coefficients(values):
    d = np.array(values)[:, None]
    _, squared = product_form(d).squares(Z[None])
    assert (squared**2).max() <= np.abs(d[2:]).sum() * (1 + 1e-12)


@pytest.mark.parametrize(
    ("d", "size"),
    [
        ((0.5, 1.6, 0.0, -2.0, 0.0), (2, 2, False, False)),  # an odd cubic is one difference of squares
        ((0.0, 0.3, 1.0, 0.0, 1e-3), (2, 2, True, False)),  # z^2 is far larger than z^4: the product
        ((0.0, 0.0, 0.0, 0.0, 1.0), (1, 1, False, False)),  # z^4 is the square of a square
        ((0.1, 0.2, 0.1, 0.3, 2.0), (1, 1, False, True)),
        ((0.0, 1.0, 0.0, 1e-9, 0.0), (2, 2, True, False)),
    ],
)
def test_which_form_is_taken(d, size):
    assert size_of(quartic_squares(np.array(d)[:, None])) == size


def test_a_hand_computed_cubic():
    # z^3 = ((z + 1)^4 - (z - 1)^4) / 8 - z, and the shift of -1 in both squares takes the z away
    form = quartic_squares(np.array([[0.0], [0.0], [0.0], [1.0], [0.0]]))
    np.testing.assert_allclose(form.signs[:, 0], [1, -1])
    np.testing.assert_allclose(form.constants[:, 0] / form.inner[[0, 1], [0, 1], 0], [-1, -1])


def test_features_of_one_value_share_one_form():
    # alone, the first would be completed; beside a cubic it is not
    d = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert size_of(quartic_squares(d[:, :1])) == (1, 1, False, False)
    both = quartic_squares(d)
    z = np.broadcast_to(Z, (2, len(Z)))
    np.testing.assert_allclose(both.evaluate(z), np.polynomial.polynomial.polyval(Z, d), atol=1e-14)


def test_a_constant_needs_no_square_and_does_no_harm():
    form = quartic_squares(np.array([[3.0], [0.0], [0.0], [0.0], [0.0]]))
    np.testing.assert_allclose(form.evaluate(Z[None]), 3.0)
