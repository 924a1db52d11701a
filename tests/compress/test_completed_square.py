"""A completed square is the same polynomial; a straight line stays a straight line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.completed_square import complete_square

coefficient = st.floats(-4, 4).filter(lambda value: abs(value) > 1e-3)


@given(st.tuples(coefficient, coefficient, coefficient))
def test_a_completed_square_is_the_same_polynomial(values):
    square = complete_square(np.array(values)[:, None])
    x = np.linspace(-2, 2, 9)
    # the offset cancels c1^2 / 4 c2, so the error scales with it
    size = 1.0 + np.abs(square.offset).max() + np.abs(square.scale * square.centre**2).max()
    found = square.scale * (x + square.centre) ** 2 + square.offset
    np.testing.assert_allclose(found, np.polynomial.polynomial.polyval(x, values), atol=1e-13 * size)
    assert square.slope[0] == 0.0


def test_a_hand_computed_square():
    square = complete_square(np.array([[5.0], [4.0], [2.0]]))  # 2 x^2 + 4 x + 5 = 2 (x + 1)^2 + 3
    assert (square.scale[0], square.centre[0], square.offset[0], square.slope[0]) == (2.0, 1.0, 3.0, 0.0)


@pytest.mark.parametrize(
    ("c2", "negligible", "straight"),
    [(0.0, 0.0, True), (1e-7, 0.0, False), (1e-7, 1e-6, True), (-1e-7, 1e-6, True), (-1e-5, 1e-6, False)],
)
def test_a_square_that_is_negligible_beside_the_line_leaves_the_line(c2, negligible, straight):
    square = complete_square(np.array([[0.5, 0.0], [1.0, 0.0], [c2, 0.0]]), negligible)
    if straight:
        assert (square.scale[0], square.centre[0], square.offset[0], square.slope[0]) == (0.0, 0.0, 0.5, 1.0)
    else:
        assert (square.scale[0], square.slope[0]) == (c2, 0.0)
    constant = (square.scale[1], square.centre[1], square.offset[1], square.slope[1])
    assert constant == (0.0, 0.0, 0.0, 0.0)
