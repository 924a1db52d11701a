"""Passes over programs: less work, the same function; a pass that changes it is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from compress.errors import PlanError
from compress.network import Affine, AvgPool, Conv, Dense, Input, Network, Node, Polynomial, Reshape, Weights
from secure.coded.affines import merge_affines
from secure.coded.constants import fold_constants
from secure.coded.forms import LinearForm, Program, QuadraticForm
from secure.coded.lowering import lowered
from secure.coded.merging import merge_linear
from secure.coded.passes import PASSES, run_passes
from secure.coded.unread import drop_unread, read_features

Array = NDArray[np.float64]


def coded(shape: tuple[int, ...], seed: int, step: float = 0.25) -> Weights:
    codes = np.random.default_rng(seed).integers(-3, 4, size=shape).astype(np.int8)
    return Weights(codes, np.asarray(step), 3)


def pooled_network() -> Network:
    image = Input(name="x", inputs=(), shape=(1, 8, 8))
    conv = Conv(
        name="conv", inputs=("x",), shape=(2, 6, 6), weights=coded((2, 1, 3, 3), 1), bias=np.array([0.5, -1.0]),
        stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1,
    )  # fmt: skip
    pool = AvgPool(name="pool", inputs=("conv",), shape=(2, 3, 3), kernel=(2, 2), stride=(2, 2), padding=(0, 0))
    return Network(nodes=(image, conv, pool))


def probes(network: Network) -> Array:
    return np.random.default_rng(0).normal(size=(5, network.nodes[0].size))


def outputs(program: Program, rows: Array) -> Array:
    return program.run(rows)[-1]


def test_a_convolution_and_its_pooling_become_one_matrix_with_fewer_non_zeros() -> None:
    network = pooled_network()
    before = lowered(network, 8)
    after = merge_linear(before)
    assert len(before.forms) == 2 and len(after.forms) == 1
    (merged,) = after.forms
    assert isinstance(merged, LinearForm)
    assert merged.codes.nnz < sum(form.codes.nnz for form in before.forms if isinstance(form, LinearForm))
    assert merged.layer == "conv" and np.allclose(merged.steps, 0.25 / 4)
    assert np.allclose(outputs(after, probes(network)), outputs(before, probes(network)))


def test_wide_layers_after_narrow_ones_are_not_merged() -> None:
    x = Input(name="x", inputs=(), shape=(20,))
    narrow = Dense(name="narrow", inputs=("x",), shape=(2,), weights=coded((2, 20), 2), bias=np.zeros(2))
    wide = Dense(name="wide", inputs=("narrow",), shape=(20,), weights=coded((20, 2), 3), bias=np.zeros(20))
    assert len(merge_linear(lowered(Network(nodes=(x, narrow, wide)), 8)).forms) == 2


def test_padding_counts_in_the_mean() -> None:
    x = Input(name="x", inputs=(), shape=(1, 2))
    pool = AvgPool(name="pool", inputs=("x",), shape=(1, 2), kernel=(2,), stride=(2,), padding=(1,))
    found = outputs(run_passes(Network(nodes=(x, pool)), 8, np.ones((1, 2))), np.array([[4.0, 6.0]]))
    assert found.ravel().tolist() == [2.0, 3.0]


def normalized_network() -> Network:
    x = Input(name="x", inputs=(), shape=(6,))
    first = Affine(name="first", inputs=("x",), shape=(6,), scale=np.asarray(-2.0), shift=np.arange(6.0))
    one = Dense(name="one", inputs=("first",), shape=(4,), weights=coded((4, 6), 4), bias=np.ones(4))
    norm = Affine(name="norm", inputs=("one",), shape=(4,), scale=np.array([0.5, -1.5, 0.0, 2.0]), shift=np.arange(4.0))
    square = Polynomial(name="square", inputs=("norm",), shape=(4,), coefficients=np.array([[0.1], [0.2], [0.5]]))
    last = Affine(name="last", inputs=("square",), shape=(4,), scale=np.asarray(3.0), shift=np.asarray(-1.0))
    return Network(nodes=(x, first, one, norm, square, last))


def test_scales_and_shifts_merge_into_matrices_and_polynomials() -> None:
    network = normalized_network()
    program = drop_unread(merge_affines(lowered(network, 8)))
    assert [type(form) for form in program.forms] == [LinearForm, QuadraticForm]
    rows = probes(network)
    assert np.allclose(outputs(program, rows).T, network.run(rows))


def test_constant_and_unread_features_vanish_but_inputs_stay() -> None:
    weights = Weights(np.array([[1, 0, 2], [0, 0, 0], [3, 1, 0]], dtype=np.int8), np.asarray(1.0), 3)
    x = Input(name="x", inputs=(), shape=(3,))
    nodes: list[Node] = [x, Dense(name="a", inputs=("x",), shape=(3,), weights=weights, bias=np.array([0.0, 2.0, 0.0]))]
    nodes.append(Polynomial(name="b", inputs=("a",), shape=(3,), coefficients=np.array([[1.0], [0.0], [1.0]])))
    last = Weights(np.array([[1, 1, 0]], dtype=np.int8), np.asarray(1.0), 2)
    nodes.append(Dense(name="c", inputs=("b",), shape=(1,), weights=last, bias=np.zeros(1)))
    network = Network(nodes=tuple(nodes))
    program = drop_unread(fold_constants(lowered(network, 8)))
    assert [form.features for form in program.forms] == [1, 1, 1] and program.inputs == 3
    assert read_features(program)[0].all()
    rows = np.random.default_rng(1).normal(size=(4, 3))
    assert np.allclose(outputs(program, rows).T, network.run(rows))


def test_every_pass_leaves_the_function_and_one_that_does_not_is_refused_by_name() -> None:
    network = normalized_network()

    def doubled(program: Program) -> Program:
        *others, last = program.forms
        assert isinstance(last, QuadraticForm)
        return Program(program.inputs, (*others, replace(last, constant=2 * last.constant)))

    rows = probes(network)
    assert np.allclose(outputs(run_passes(network, 8, rows), rows).T, network.run(rows))
    with pytest.raises(PlanError, match="layer 'square': the pass 'doubled' changed what the network computes"):
        run_passes(network, 8, rows, (*PASSES, doubled))


def test_a_network_that_only_reshapes_copies_its_input() -> None:
    x = Input(name="x", inputs=(), shape=(2, 3))
    program = run_passes(Network(nodes=(x, Reshape(name="r", inputs=("x",), shape=(6,)))), 8, np.arange(6.0)[None])
    assert outputs(program, np.arange(6.0)[None]).ravel().tolist() == [0, 1, 2, 3, 4, 5]
