"""Power-of-two steps under CKKS change the scales' labels and cost no computation.

The same integer codes with other power-of-two steps compile to the same operations at the same levels. A jointly
quantized network compiles to those of the float network, since its grids cost no level and no operation.
"""

from dataclasses import replace

import numpy as np
import pytest

from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.compiling.compile import compile_network
from secure.drafting.work import plan_operations
from secure.kernels.counts import KernelTimes
from secure.limits import Limits

TIMES = KernelTimes(butterfly_ns=1.0, product_ns=3.0, addition_ns=1.0, call_us=1.0)


def network(log2_steps, seed=0):
    """Integer codes with steps 2^-6 times 2^log2_steps; the activation undoes the first step, so values are alike."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(-20, 21, (12, 30)), rng.integers(-20, 21, (4, 12))
    up, down = 2.0 ** log2_steps[0], 2.0 ** log2_steps[1]
    curve = np.array([[0.1], [0.5 / up], [0.25 / up**2]])
    nodes = (
        Input(name="x", inputs=(), shape=(30,)),
        Dense(
            name="a", inputs=("x",), shape=(12,), weights=Weights(first, np.array(up / 64)), bias=np.full(12, up / 8)
        ),
        Polynomial(name="act", inputs=("a",), shape=(12,), coefficients=curve),
        Dense(name="b", inputs=("act",), shape=(4,), weights=Weights(second, np.array(down / 64)), bias=np.zeros(4)),
    )  # fmt: skip
    return Network(nodes=nodes), rng.random((16, 30))


def without_codes(plain):
    """The same numbers as floats with a step of one."""
    return Network(
        nodes=tuple(
            replace(node, weights=Weights(node.weights.values(), np.array(1.0))) if isinstance(node, Dense) else node
            for node in plain.nodes
        )
    )


def compiled(plain, images):
    scale = float(np.sqrt(np.mean(plain.run(images) ** 2)))
    return compile_network(plain, images, times=TIMES, limits=Limits(max_error=0.05 * scale))


@pytest.mark.parametrize("log2_steps", [(3, -2), pytest.param((-5, 4), marks=pytest.mark.slow)])
def test_steps_cost_no_level_and_no_operation(log2_steps):
    quantized, images = network(log2_steps)
    reference, _ = network((0, 0))
    plan, wanted = compiled(quantized, images).server.plan, compiled(reference, images).server.plan
    assert plan_operations(plan) == plan_operations(wanted)
    assert plan.params.coeff_modulus_bits == wanted.params.coeff_modulus_bits
    assert [op.level for op in plan.ops] == [op.level for op in wanted.ops]


@pytest.mark.slow
def test_codes_and_floats_cost_the_same():
    quantized, images = network((2, -1))
    plan, floats = compiled(quantized, images).server.plan, compiled(without_codes(quantized), images).server.plan
    assert plan_operations(plan) == plan_operations(floats)
