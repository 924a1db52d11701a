"""Stages are affine maps between squares, and together they equal the network."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compress.errors import CompileError
from compress.network import Add, AvgPool, Conv, Dense, Input, Network, Permute, Polynomial, Range, Reshape, Weights
from secure.stages.matrices import linear_matrix
from secure.stages.stages import Grid, network_stages, run_stages

rng = np.random.default_rng(7)
START = rng.bit_generator.state


@pytest.fixture(autouse=True)
def every_test_draws_the_same_numbers():
    rng.bit_generator.state = START


def weights(*shape):
    return Weights(rng.normal(size=shape) * 0.3, np.array(1.0))


def conv(name, source, shape, kernel, **options):
    defaults = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, **options}
    return Conv(name=name, inputs=(source,), shape=shape, weights=kernel, bias=rng.normal(size=shape[0]), **defaults)


def residual_network(degree):
    return Network(
        nodes=(
            Input(name="x", inputs=(), shape=(2, 8, 8)),
            conv("c1", "x", (4, 8, 8), weights(4, 2, 3, 3)),
            Polynomial(name="a1", inputs=("c1",), shape=(4, 8, 8), coefficients=rng.normal(size=(3, 4))),
            conv("c2", "a1", (4, 8, 8), weights(4, 1, 3, 3), groups=4),
            Add(name="add", inputs=("c2", "a1"), shape=(4, 8, 8)),
            Polynomial(
                name="a2", inputs=("add",), shape=(4, 8, 8), coefficients=rng.normal(size=(degree + 1, 1)) * 0.5
            ),
            AvgPool(name="p", inputs=("a2",), shape=(4, 4, 4), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
            Permute(name="t", inputs=("p",), shape=(4, 4, 4), axes=(1, 2, 0)),
            Reshape(name="f", inputs=("t",), shape=(64,)),
            Dense(name="d", inputs=("f",), shape=(5,), weights=weights(5, 64), bias=rng.normal(size=5)),
        )
    )


@pytest.mark.parametrize(("degree", "squares"), [(2, 2), (4, 3)])
def test_stages_equal_the_network_and_cost_one_square_per_activation(degree, squares):
    network = residual_network(degree)
    images = rng.normal(size=(3, 2, 8, 8))
    stages = network_stages(network)
    _, values = run_stages(stages, images)
    np.testing.assert_allclose(values[-1].T, network.run(images), rtol=1e-10, atol=1e-10)
    assert sum(stage.squared for stage in stages) == squares
    assert stages[-1].layer == "d"


def test_a_strided_value_keeps_its_place_on_the_raster():
    network = Network(
        nodes=(
            Input(name="x", inputs=(), shape=(1, 9, 9)),
            conv("c1", "x", (3, 4, 4), weights(3, 1, 3, 3), stride=(2, 2), padding=(0, 0)),
            AvgPool(name="p", inputs=("c1",), shape=(3, 2, 2), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
        )
    )
    assert network_stages(network)[-1].grid == Grid(3, (2, 2), (4, 4), (1, 9, 9))


def test_a_feature_without_a_square_stays_a_line():
    coefficients = np.array([[0.5, 0.1], [2.0, 0.3], [0.0, 1.5]])  # the first feature is linear, the second quadratic
    network = Network(
        nodes=(
            Input(name="x", inputs=(), shape=(2,)),
            Polynomial(name="a", inputs=("x",), shape=(2,), coefficients=coefficients),
        )
    )
    images = rng.normal(size=(5, 2))
    _, values = run_stages(network_stages(network), images)
    np.testing.assert_allclose(values[-1].T, network.run(images), atol=1e-12)


def test_dense_over_the_last_axis_is_one_block_per_position():
    node = Dense(name="d", inputs=("x",), shape=(3, 2), weights=weights(2, 4), bias=rng.normal(size=2))
    matrix, constant = linear_matrix(node, (3, 4))
    x = rng.normal(size=(3, 4))
    wanted = x @ node.weights.values().T + node.bias
    np.testing.assert_allclose(matrix @ x.ravel() + constant, wanted.ravel(), atol=1e-12)


def test_a_node_that_is_not_linear_has_no_matrix():
    curve = Polynomial(name="act", inputs=("x",), shape=(2,), coefficients=np.ones((3, 1)))
    with pytest.raises(TypeError, match="node 'act' is not linear: Polynomial"):
        linear_matrix(curve, (2,))


def polynomial_of_inputs(coefficients, shape=(2,), ranges=None):
    return Network(
        nodes=(
            Input(name="x", inputs=(), shape=shape),
            Polynomial(name="act", inputs=("x",), shape=shape, coefficients=np.array(coefficients)),
        ),
        ranges=ranges or {},
    )


def test_a_degree_the_compiler_has_no_square_form_for_is_refused_by_name():
    with pytest.raises(CompileError, match="layer 'act': a polynomial of degree 5 is not supported; the largest"):
        network_stages(polynomial_of_inputs(np.ones((6, 1))))


#: From far below to far above the other coefficients, and zero.
coefficient = st.one_of(
    st.just(0.0), st.builds(lambda sign, log: sign * 10.0**log, st.sampled_from([-1, 1]), st.floats(-15, 4))
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(coefficient, coefficient), min_size=2, max_size=5),
    st.floats(-3, 3),
    st.floats(0.01, 100),
)
def test_every_polynomial_up_to_degree_4_is_exact_on_its_range(rows, middle, half):
    coefficients = np.array(rows)
    assume(coefficients[1:].any())
    low, high = half * (middle - 1), half * (middle + 1)
    network = polynomial_of_inputs(coefficients, ranges={"x": Range(low, high, 1.0)})
    x = np.random.default_rng(0).uniform(low, high, (50, 2))
    stages = network_stages(network)
    found = run_stages(stages, x)[1][-1].T
    size = sum(np.abs(row) * np.abs(x).max() ** power for power, row in enumerate(coefficients))
    assert (np.abs(found - network.run(x)) <= 1e-11 * size).all()
    assert sum(stage.squared for stage in stages) <= (2 if len(coefficients) > 3 else 1)


@pytest.mark.parametrize(
    "coefficients",
    [
        (0.5, 0.197, 0.0, -0.004),  # the cubic that many take for a sigmoid
        (0.5, 0.197, 0.0, -0.004, 1e-9),
        (0.0, 1.0, 1e-9),
        (0.0, 1.0, 0.0, 1e-9),
        (1.0, -2.0, 0.3, 0.0, 0.05),
    ],
)
@pytest.mark.parametrize("shape", [(6,), (2, 5), (2, 4, 4)])
def test_polynomials_with_small_or_no_leading_coefficients_are_exact_relative_to_their_values(coefficients, shape):
    x = np.random.default_rng(1).uniform(-8, 8, (64, *shape))
    network = polynomial_of_inputs(np.array(coefficients)[:, None], shape, {"x": Range(-8.0, 8.0, 4.6)})
    wanted = network.run(x)
    stages = network_stages(network)
    found = run_stages(stages, x)[1][-1].T.reshape(wanted.shape)
    assert np.abs(found - wanted).max() <= 1e-12 * np.abs(wanted).max()
    grids = [stage.grid for stage in stages]
    assert all((grid is None) == (len(shape) == 1) for grid in grids)
    assert all(
        grid is None or grid.channels * np.prod(grid.sizes) == stage.size
        for grid, stage in zip(grids, stages, strict=True)
    )


def test_a_network_of_zeros_is_refused_by_name():
    zero = Weights(np.zeros((3, 2)), np.array(1.0))
    network = Network(
        nodes=(
            Input(name="x", inputs=(), shape=(2,)),
            Dense(name="fc", inputs=("x",), shape=(3,), weights=zero, bias=np.ones(3)),
        )
    )
    with pytest.raises(CompileError, match="layer 'fc': depends on no input"):
        network_stages(network)
