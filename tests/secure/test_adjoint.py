"""Derivatives of plans against differences, and the transpose of the input's layout against the layout itself."""

import numpy as np
import pytest

from secure.encoding import coefficients, slot_derivatives
from secure.evaluators.adjoint import pull_back, record
from secure.evaluators.clear import ClearEvaluator, NoisyClearEvaluator
from secure.layout.packing import input_gradient, input_vectors
from tests.secure.plans import SMALL, complex_plan, every_kind_plan

EPSILON = 1e-5


def inner(derivatives, changes):
    return sum(float(np.sum((np.conj(d) * c).real)) for d, c in zip(derivatives, changes, strict=True))


@pytest.mark.parametrize("plan", [every_kind_plan(), complex_plan()], ids=["real", "complex"])
@pytest.mark.parametrize("inputs_are_complex", [False, True])
def test_the_derivative_is_the_limit_of_differences(plan, inputs_are_complex):
    rng = np.random.default_rng(0)

    def random():
        slots = rng.normal(size=(3, SMALL.slots))
        return slots + 1j * rng.normal(size=slots.shape) if inputs_are_complex else slots

    x, change = random(), random()
    wanted = {*plan.outputs, 2, 0}  # an inner value and an input as well
    weights = {value: rng.normal(size=x.shape) + 1j * rng.normal(size=x.shape) for value in sorted(wanted)}

    def quantity(slots):
        tape = record(plan, ClearEvaluator(plan), [slots], wanted)
        return sum(float(np.sum((np.conj(weights[v]) * tape.values[v]).real)) for v in wanted)

    derivative = pull_back(record(plan, ClearEvaluator(plan), [x], wanted), weights)
    difference = (quantity(x + EPSILON * change) - quantity(x - EPSILON * change)) / (2 * EPSILON)
    assert inner(derivative, [change]) == pytest.approx(difference, rel=1e-6)


def test_an_input_that_nothing_reads_has_no_derivative():
    plan = every_kind_plan()
    tape = record(plan, ClearEvaluator(plan), [np.ones(SMALL.slots)], plan.outputs)
    zero = pull_back(tape, {plan.outputs[0]: np.zeros(SMALL.slots)})
    assert not np.any(zero[0])


def test_the_same_seed_gives_the_same_noise_and_another_seed_another():
    plan, x = every_kind_plan(), np.random.default_rng(1).normal(size=(2, SMALL.slots))
    evaluator = NoisyClearEvaluator(plan, 5)
    runs = []
    for _ in range(2):
        evaluator.restart()
        runs.append(record(plan, evaluator, [evaluator.fresh(x)], plan.outputs).values)
    other = NoisyClearEvaluator(plan, 6)
    another = record(plan, other, [other.fresh(x)], plan.outputs).values
    for value in plan.outputs:
        np.testing.assert_array_equal(runs[0][value], runs[1][value])
        assert np.all(runs[0][value] != another[value])


def test_derivatives_by_slots_are_the_adjoint_of_the_coefficients():
    rng = np.random.default_rng(3)
    slots, by_coefficient = rng.normal(size=(2, 2048)) + 1j * rng.normal(size=(2, 2048)), rng.normal(size=(2, 4096))
    found = np.sum((np.conj(slot_derivatives(by_coefficient)) * slots).real, axis=1)
    np.testing.assert_allclose(found, np.sum(by_coefficient * coefficients(slots), axis=1))


@pytest.mark.parametrize("planes", [1, 2])
def test_the_gradient_by_features_is_the_transpose_of_the_layout(planes):
    rng = np.random.default_rng(2)
    layout = rng.integers(-1, 20, (2, planes, 64)).astype(np.int32)  # features repeated, some missing, some slots empty
    values = rng.normal(size=(3, 20))
    slots = input_vectors(values, layout)
    derivative = rng.normal(size=slots.shape) + 1j * rng.normal(size=slots.shape)
    by_slots = np.sum((np.conj(derivative) * slots).real, axis=(1, 2))
    np.testing.assert_allclose(np.sum(input_gradient(derivative, layout, 20) * values, axis=1), by_slots)
