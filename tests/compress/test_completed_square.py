"""A completed square is the same polynomial; a badly conditioned one is not completed; a straight line stays one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.completed_square import LARGEST_CONDITION, NEGLIGIBLE, complete_square, conditioned_square

coefficient = st.floats(-4, 4).filter(lambda value: abs(value) > 1e-3)
#: From far below to far above the rest, and zero.
any_size = st.one_of(st.just(0.0), st.builds(lambda sign, log: sign * 10.0**log, st.sampled_from([-1, 1]),
                                             st.floats(-16, 6)))  # fmt: skip


def value(square, x):
    return square.scale * (x + square.centre) ** 2 + square.offset + square.slope * x


@given(st.tuples(coefficient, coefficient, coefficient))
def test_a_completed_square_is_the_same_polynomial(values):
    square = complete_square(np.array(values)[:, None])
    x = np.linspace(-2, 2, 9)
    # the offset cancels c1^2 / 4 c2, so the error scales with it
    size = 1.0 + np.abs(square.offset).max() + np.abs(square.scale * square.centre**2).max()
    np.testing.assert_allclose(value(square, x), np.polynomial.polynomial.polyval(x, values), atol=1e-13 * size)
    assert square.slope[0] == 0.0


def test_a_hand_computed_square():
    square = complete_square(np.array([[5.0], [4.0], [2.0]]))  # 2 x^2 + 4 x + 5 = 2 (x + 1)^2 + 3
    assert (square.scale[0], square.centre[0], square.offset[0], square.slope[0]) == (2.0, 1.0, 3.0, 0.0)


@given(st.tuples(any_size, any_size, any_size), st.floats(-3, 3), st.floats(0.01, 100))
def test_the_conditioned_square_is_the_same_polynomial_to_rounding_whatever_the_coefficients(values, middle, half):
    middle = middle * half
    x = np.linspace(middle - half, middle + half, 41)
    wanted = np.polynomial.polynomial.polyval(x, values)
    square = conditioned_square(np.array(values)[:, None], middle - half, middle + half)
    size = sum(abs(c) * np.abs(x).max() ** power for power, c in enumerate(values))
    np.testing.assert_allclose(value(square, x), wanted, rtol=0, atol=1e-11 * size)
    # what is squared stays within the promised multiple of how much the polynomial varies
    varies = abs(values[1] * half) + abs(values[2] * half) * (2 * abs(middle) + half)
    assert np.abs(square.scale * (x + square.centre) ** 2).max() <= 1.01 * LARGEST_CONDITION * varies


@pytest.mark.parametrize(
    ("c2", "kind"),
    [
        (1.0, "completed"),
        (0.01, "completed"),
        (0.003, "apart"),
        (-1e-7, "apart"),
        (NEGLIGIBLE / 2, "straight"),
        (0.0, "straight"),
    ],
)
def test_the_form_is_decided_by_the_condition_number_on_the_interval(c2, kind):
    # on [-1, 1] the condition number of x + c2 x^2 is c2 (1 + 1 / (2 c2))^2 / (1 + c2): 1.1, 25.8, 83.9
    square = conditioned_square(np.array([[0.5], [1.0], [c2]]), -1.0, 1.0)
    found = (square.scale[0], square.slope[0], square.centre[0])
    assert (
        found
        == {
            "completed": (c2, 0.0, 1 / (2 * c2) if c2 else 0.0),
            "apart": (c2, 1.0, 0.0),
            "straight": (0.0, 1.0, 0.0),
        }[kind]
    )


def test_the_interval_decides_not_the_coefficients():
    coefficients = np.array([[0.0], [1.0], [1e-6]])
    assert conditioned_square(coefficients, -1.0, 1.0).slope[0] == 1.0
    assert conditioned_square(coefficients, -1e6, 1e6).slope[0] == 0.0  # x and x^2 / 10^6 are of one size there


def test_an_interval_of_one_point_is_one_around_it():
    square = conditioned_square(np.array([[1.0], [2.0], [3.0]]), 5.0, 5.0)
    np.testing.assert_allclose(value(square, 5.0), 1 + 10 + 75)
