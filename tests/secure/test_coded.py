"""Networks as integer plans: every node type equals the network, hand-computed plans, rounding, alignment of scales."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from compress.errors import CompileError, LevelBudgetError
from compress.network import Add, Concat, Dense, Input, Network, Node, Polynomial, Weights
from secure.coded.clear import run_all
from secure.coded.lowering import lowered
from secure.coded.passes import run_passes
from secure.coded.plan import BatchPlan, Linear, Quadratic, Select, Step, Sum
from secure.coded.scaling import scaled
from secure.coded.whole import smallest_multiple, whole_codes
from secure.params import make_params
from tests.secure.coded_networks import random_network

Array = NDArray[np.float64]
X = Input(name="x", inputs=(), shape=(2,))


def steps_of(network: Network, scale: float, *, weight_bits: int = 8, factor_bits: int = 8) -> tuple[Step, ...]:
    probes = np.random.default_rng(0).normal(size=(4, network.nodes[0].size))
    return scaled(run_passes(network, weight_bits, probes), scale, factor_bits)


def outputs_of(steps: tuple[Step, ...], scale: float, rows: Array) -> Array:
    return run_all(steps, rows.shape[1], scale, rows)[-1].T


def dense(name: str, source: Node, codes: list[list[int]], step: float | list[float], bias: list[float]) -> Dense:
    weights = Weights(np.array(codes, dtype=np.int8), np.asarray(step, dtype=np.float64), 4)
    return Dense(name=name, inputs=(source.name,), shape=(len(bias),), weights=weights, bias=np.array(bias))


def polynomial(source: Node, *rows: list[float]) -> Polynomial:
    coefficients = np.array(rows, dtype=np.float64)
    return Polynomial(name=f"p{source.name}", inputs=(source.name,), shape=source.shape, coefficients=coefficients)


def size(network: Network, rows: Array) -> float:
    return max(1.0, *(float(np.abs(value).max()) for value in network.run_all(rows).values()))


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32), layers=st.integers(0, 7))
def test_a_plan_of_exact_constants_is_the_network(seed: int, layers: int) -> None:
    network = random_network(seed, layers, exact=True)
    rows = np.random.default_rng(1).normal(size=(5, *network.input_shape))
    flat = rows.reshape(5, -1)
    found = outputs_of(steps_of(network, 2.0**40, weight_bits=24, factor_bits=40), 2.0**40, flat)
    assert np.abs(found - network.run(rows).reshape(5, -1)).max() < 1e-9 * size(network, rows) ** 2


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), layers=st.integers(0, 7))
def test_a_plan_of_rounded_constants_is_close_to_the_network(seed: int, layers: int) -> None:
    network = random_network(seed, layers, exact=False)
    rows = np.random.default_rng(2).normal(size=(5, *network.input_shape))
    flat = rows.reshape(5, -1)
    found = outputs_of(steps_of(network, 2.0**30, weight_bits=16, factor_bits=16), 2.0**30, flat)
    assert np.abs(found - network.run(rows).reshape(5, -1)).max() < 2e-3 * size(network, rows) ** 2


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32), layers=st.integers(0, 6))
def test_a_program_without_passes_is_the_network(seed: int, layers: int) -> None:
    network = random_network(seed, layers, exact=True)
    rows = np.random.default_rng(3).normal(size=(4, *network.input_shape))
    found = lowered(network, 24).run(rows.reshape(4, -1))[-1].T
    assert np.abs(found - network.run(rows).reshape(4, -1)).max() < 1e-9 * size(network, rows) ** 2


def test_a_layer_and_a_square_by_hand() -> None:
    layer = dense("d", X, [[3, -2], [0, 1]], 0.25, [0.5, 0.0])
    square = polynomial(layer, [0.25], [1.0], [0.5])
    one, two = steps_of(Network(nodes=(X, layer, square)), 16.0)
    assert isinstance(one, Linear) and isinstance(two, Quadratic)
    assert one.codes.tolist() == [3, -2, 1] and one.columns.tolist() == [0, 1, 1] and one.starts.tolist() == [0, 2, 3]
    assert one.scales.tolist() == [64.0, 64.0] and one.bias.tolist() == [32.0, 0.0]  # 16 / 0.25; 0.5 * 64
    # 0.5 x^2 + x + 0.25 at the scale 64^2 / 0.5 is X^2 + 128 X + 2048
    assert two.scales.tolist() == [8192.0, 8192.0]
    assert (two.square.tolist(), two.linear.tolist(), two.constant.tolist()) == ([1, 1], [128, 128], [2048, 2048])


def test_steps_by_output_go_into_the_scales() -> None:
    layer = dense("d", X, [[3, -2], [1, 1]], [0.25, 0.125], [0.0, 0.0])
    (one,) = steps_of(Network(nodes=(X, layer)), 16.0)
    assert isinstance(one, Linear)
    assert one.scales.tolist() == [64.0, 128.0] and np.abs(one.codes).max() == 3


def test_a_square_per_channel_costs_as_few_bits_as_its_ratios_need() -> None:
    layer = dense("d", X, [[1, 0], [0, 1]], 1.0, [0.0, 0.0])
    read = dense("e", polynomial(layer, [0.0], [0.0], [0.5]), [[1, 1]], 1.0, [0.0])
    halves = polynomial(layer, [0.0, 0.0], [0.0, 0.0], [0.5, -0.25])
    steps = steps_of(Network(nodes=(X, layer, halves, read)), 16.0)
    squares = [step for step in steps if isinstance(step, Quadratic)]
    assert squares[0].square.tolist() == [2, -1] and set(squares[0].scales) == {4 * 256.0}


def test_a_square_per_channel_that_nothing_mixes_costs_no_bits() -> None:
    (one,) = steps_of(Network(nodes=(X, polynomial(X, [0.0, 0.0], [0.0, 0.0], [0.3, -0.7]))), 16.0)
    assert isinstance(one, Quadratic)
    assert one.square.tolist() == [1, -1] and np.allclose(one.scales, [256 / 0.3, 256 / 0.7])


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (([0.1], [0.5], [0.3]), 3),
        (([0.1], [0.5], [0.3], [0.2]), 4),
        (([0.1], [0.5], [0.3], [0.2], [0.7]), 5),
        (([0.1, 0.2], [0.5, 0.1], [0.3, 0.3], [0.2, 0.2], [0.7, 0.0]), 5),  # no square to complete for one channel
    ],
)
def test_polynomials_have_as_many_parts_as_their_degree_needs(rows: tuple[list[float], ...], parts: int) -> None:
    network = Network(nodes=(X, polynomial(X, *rows)))
    steps = steps_of(network, 2.0**20, factor_bits=20)
    inputs = np.random.default_rng(0).normal(size=(6, 2))
    assert np.abs(outputs_of(steps, 2.0**20, inputs) - network.run(inputs)).max() < 1e-4
    assert plan_of(steps, 2.0**20).parts[-1] == parts


def plan_of(steps: tuple[Step, ...], scale: float) -> BatchPlan:
    return BatchPlan(params=make_params(2048, [40], None), inputs=2, input_scale=scale, steps=steps)


def test_degrees_above_four_are_refused_by_name() -> None:
    network = Network(nodes=(X, polynomial(X, *([0.1],) * 6)))
    with pytest.raises(CompileError, match="layer 'px': a polynomial of degree 5 is not supported"):
        lowered(network, 8)


def test_sums_of_values_are_brought_to_one_scale_by_whole_factors() -> None:
    one, two = dense("a", X, [[1, 0], [0, 1]], 0.5, [0.0, 0.0]), dense("b", X, [[3, 0], [0, 1]], 0.25, [0.0, 0.0])
    total = Add(name="s", inputs=("a", "b"), shape=(2,))
    *_, last = steps_of(Network(nodes=(X, one, two, total)), 16.0)
    assert isinstance(last, Sum)
    assert last.factors.tolist() == [[2, 2], [1, 1]] and last.scales.tolist() == [64, 64]


def test_features_of_far_different_scales_are_brought_to_one_before_they_are_added_up() -> None:
    square = polynomial(X, [0.0], [0.0], [1.0])
    joined = Concat(name="c", inputs=("x", "px"), shape=(4,), axis=0)
    network = Network(nodes=(X, square, joined, dense("d", joined, [[1, 1, 1, 1]], 1.0, [0.0])))
    steps = steps_of(network, 2.0**30)
    select = next(step for step in steps if isinstance(step, Select))
    assert select.factors.tolist() == [2.0**30, 2.0**30, 1.0, 1.0]
    inputs = np.random.default_rng(0).normal(size=(6, 2))
    assert np.abs(outputs_of(steps, 2.0**30, inputs) - network.run(inputs)).max() < 1e-6


def test_scales_beyond_every_ring_name_the_layer() -> None:
    nodes: list[Node] = [X]
    for _ in range(6):
        nodes.append(polynomial(nodes[-1], [0.0], [0.0], [1.0]))
    program = lowered(Network(nodes=tuple(nodes)), 8)
    with pytest.raises(LevelBudgetError, match=f"layer '{nodes[6].name}': its integers have more bits"):
        scaled(program, 2.0**16, 8)


@given(
    values=st.lists(st.floats(0.01, 100), min_size=1, max_size=6),
    bits=st.integers(2, 16),
)
def test_the_smallest_multiple_keeps_every_tolerance(values: list[float], bits: int) -> None:
    numbers = np.array(values)
    tolerances = np.full(len(numbers), 2.0**-bits)
    multiple = smallest_multiple(numbers, tolerances)
    assert (np.abs(np.rint(multiple * numbers) / multiple - numbers) <= tolerances * (1 + 1e-9) + 1e-9 * numbers).all()
    assert multiple <= 2.0 ** (bits - 1) * (1 + 1e-9)


@pytest.mark.parametrize(("values", "multiple"), [([0.25, 0.75], 4.0), ([1 / 3, 0.5], 6.0), ([0.3, 0.3], 1 / 0.3)])
def test_ratios_of_whole_numbers_cost_few_bits(values: list[float], multiple: float) -> None:
    assert smallest_multiple(np.array(values), np.full(2, 1e-6)) == pytest.approx(multiple)


@given(seed=st.integers(0, 2**32), bits=st.integers(3, 14))
def test_rounded_weights_are_within_half_a_step(seed: int, bits: int) -> None:
    values = np.random.default_rng(seed).normal(size=50)
    codes, step = whole_codes(values, bits)
    assert np.abs(codes).max() < 2 ** (bits - 1)
    assert np.abs(codes * step - values).max() <= 0.5 * np.abs(values).max() / (2 ** (bits - 1) - 1) * (1 + 1e-12)


def test_weights_that_are_multiples_of_one_number_stay_exact() -> None:
    codes, step = whole_codes(np.array([0.3, -0.6, 0.9, 0.0]), 4)
    assert codes.tolist() == [1, -2, 3, 0] and step == pytest.approx(0.3)
