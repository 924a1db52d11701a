"""BatchEvaluator against whole numbers: every step, whole plans, any chunk size and number of threads."""

import numpy as np
import pytest

from secure.coded.plan import Quadratic
from secure.residues.evaluator import BatchEvaluator
from tests.secure.batch_plans import batch_plan, linear, residues, simulate

SEEN = slice(0, 96)


def mlp(density=1.0, bits=(41,), seed=0):
    generator = np.random.default_rng(seed)
    first, second = (
        generator.integers(-31, 32, shape) * (generator.random(shape) < density) for shape in ((8, 50), (3, 8))
    )
    square = Quadratic(
        layer="act", sources=(1,), scales=np.ones(8), square=np.ones(8), linear=np.zeros(8), constant=np.zeros(8)
    )
    return batch_plan(50, [linear(first, [5] * 8), square, linear(second, [1e6, -1e15, 3], source=2)], bits)


@pytest.mark.parametrize("density", [1.0, 0.1])
def test_a_network_gives_what_whole_numbers_give(density):
    plan = mlp(density)
    prime = plan.params.data_primes[0]
    value = residues(prime, (50, 2, 2048))
    found = BatchEvaluator(plan).run(0, value)
    np.testing.assert_array_equal(found[..., SEEN], simulate(plan, prime, value[..., SEEN]).astype(float))
