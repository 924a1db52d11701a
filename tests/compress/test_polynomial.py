"""Polynomial fits are exact on polynomials, and the leading coefficient stays away from zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.coefficients import substitute
from compress.errors import ConfigError
from compress.graph.polynomial import LEAST_CURVATURE, fit_polynomial, guard_leading

coefficient = st.floats(-4, 4).filter(lambda value: abs(value) > 1e-3)


def evaluate(coefficients, x):
    return np.polynomial.polynomial.polyval(x, coefficients)


@given(st.sampled_from([2, 3, 4]), st.lists(coefficient, min_size=5, max_size=5))
def test_a_fit_of_a_polynomial_of_that_degree_is_exact(degree, values):
    values = np.array(values[: degree + 1])
    x = np.linspace(-1, 1, 40)
    np.testing.assert_allclose(fit_polynomial(x, evaluate(values, x), degree), values, atol=1e-9)


def test_the_fit_of_relu_on_an_even_grid_is_the_known_one():
    # least squares of max(x, 0) on [-1, 1] by degree 2: 3/32 + x/2 + 15/32 x^2 (Legendre projection, derived)
    x = np.linspace(-1, 1, 20001)
    np.testing.assert_allclose(fit_polynomial(x, np.maximum(x, 0), 2), [3 / 32, 1 / 2, 15 / 32], atol=1e-4)


def test_weights_decide_where_the_fit_is_close():
    x = np.linspace(-1, 1, 201)
    near_zero = fit_polynomial(x, np.tanh(3 * x), 2, weights=np.exp(-((x / 0.1) ** 2)))
    even = fit_polynomial(x, np.tanh(3 * x), 2)
    assert abs(evaluate(near_zero, 0.1) - np.tanh(0.3)) < abs(evaluate(even, 0.1) - np.tanh(0.3))


@given(st.lists(coefficient, min_size=3, max_size=5), st.floats(-3, 3), st.floats(0.3, 5))
def test_substitution_evaluates_the_polynomial_of_the_scaled_variable(values, centre, width):
    x = np.linspace(centre - width, centre + width, 7)
    got = evaluate(substitute(np.array(values)[:, None], centre, width)[:, 0], x)
    size = np.abs(values).sum() * (1 + (abs(centre) + width) / width) ** 2 * (1 + abs(centre) / width) ** 2
    np.testing.assert_allclose(got, evaluate(values, (x - centre) / width), atol=1e-13 * size)


@pytest.mark.parametrize(
    ("leading", "guarded"),
    [(0.0, LEAST_CURVATURE), (1e-9, LEAST_CURVATURE), (-1e-9, -LEAST_CURVATURE), (0.5, 0.5), (-0.5, -0.5)],
)
def test_the_guard_keeps_the_sign_and_moves_only_what_is_too_small(leading, guarded):
    result = guard_leading(np.array([[0.3], [1.0], [leading]]))
    np.testing.assert_allclose(result[:, 0], [0.3, 1.0, guarded])


def test_wrong_degrees_and_too_few_samples_are_refused():
    x = np.linspace(-1, 1, 9)
    with pytest.raises(ConfigError, match="degree: got 5; allowed: one of 2, 3, 4"):
        fit_polynomial(x, x, 5)
    with pytest.raises(ConfigError, match="samples: got 2; allowed: at least 3 distinct values for degree 2"):
        fit_polynomial(np.array([0.0, 1.0, 1.0]), np.zeros(3), 2)


def test_a_weight_of_two_is_a_sample_that_occurs_twice():
    x = np.linspace(-1, 1, 7)
    y = np.abs(x)
    weights = np.array([1.0, 2.0, 1.0, 1.0, 3.0, 1.0, 1.0])
    often = np.repeat(np.arange(7), weights.astype(int))
    np.testing.assert_allclose(fit_polynomial(x, y, 2, weights), fit_polynomial(x[often], y[often], 2), rtol=1e-12)
