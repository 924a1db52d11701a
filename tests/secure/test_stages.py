"""Stages are affine maps between squares, and together they equal the network."""

import numpy as np
import pytest

from compress.errors import CompileError
from compress.network import Add, AvgPool, Conv, Dense, Input, Network, Permute, Polynomial, Reshape, Weights
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


def test_a_degree_the_compiler_has_no_square_form_for_is_refused_by_name():
    network = Network(
        nodes=(
            Input(name="x", inputs=(), shape=(2,)),
            Polynomial(name="act", inputs=("x",), shape=(2,), coefficients=np.ones((4, 1))),
        )
    )
    with pytest.raises(CompileError, match="layer 'act': a polynomial of degree 3 is not supported"):
        network_stages(network)


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
