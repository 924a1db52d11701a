"""Networks as integer plans: every node type equals the network, hand-computed plans, passes that keep the function."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from compress.network import Network
from secure.coded.clear import run_all
from secure.coded.lowering import lowered
from secure.coded.passes import run_passes
from secure.coded.plan import Step
from secure.coded.scaling import scaled
from tests.secure.coded_networks import random_network

Array = NDArray[np.float64]


def plan_outputs(network: Network, rows: Array, *, weight_bits: int, factor_bits: int, scale: float) -> Array:
    flat = rows.reshape(len(rows), -1)
    program = run_passes(network, weight_bits, flat)
    steps: tuple[Step, ...] = scaled(program, scale, factor_bits)
    return run_all(steps, program.inputs, scale, flat)[-1].T


def size(values: Array) -> float:
    return max(1.0, float(np.abs(values).max()))


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), layers=st.integers(0, 7))
def test_a_plan_of_exact_constants_is_the_network(seed: int, layers: int) -> None:
    network = random_network(seed, layers, exact=True)
    rows = np.random.default_rng(1).normal(size=(5, *network.input_shape))
    values = network.run_all(rows)
    wanted = values[network.nodes[-1].name].reshape(5, -1)
    found = plan_outputs(network, rows, weight_bits=24, factor_bits=40, scale=2.0**40)
    largest = max(size(value) for value in values.values())
    assert np.abs(found - wanted).max() < 1e-9 * largest**2


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), layers=st.integers(0, 6))
def test_a_program_without_passes_is_the_network(seed: int, layers: int) -> None:
    network = random_network(seed, layers, exact=True)
    rows = np.random.default_rng(2).normal(size=(4, *network.input_shape))
    wanted = network.run(rows).reshape(4, -1)
    found = lowered(network, 24).run(rows.reshape(4, -1))[-1].T
    assert np.abs(found - wanted).max() < 1e-9 * max(size(value) for value in network.run_all(rows).values()) ** 2
