"""Measured operations of real rings give the kernel times that explain them.

They are exact with a clock that follows the kernel model, and close with the real clock.
"""

import pytest

from cipherpress.timing import engine_operations, measuring, seal_operations
from cipherpress.timing.fitting import (
    Measured,
    MeasuredStep,
    fit_kernel_times,
    fit_request_times,
    has_kernels,
    predicted_step_us,
    predicted_us,
    relative_errors,
)
from cipherpress.timing.measuring import (
    ENGINE_RINGS,
    REFERENCE,
    SEAL_RINGS,
    measure_engine,
    measure_requests,
    measure_seal,
    measured_in_turn,
)
from cipherpress.timing.request_operations import REQUEST_CIPHERTEXTS
from cipherpress.timing.whole_plans import WholePlan
from secure.kernels.counts import KernelCounts, KernelTimes
from secure.kernels.engine import lone_operation_kernels
from secure.kernels.requests import TYPICAL_REQUEST_TIMES, RequestTimes
from secure.kernels.seal import seal_operation_kernels

TRUTH = KernelTimes(butterfly_ns=0.5, product_ns=0.7, addition_ns=0.1, call_us=4.0)
#: Kernels of whole plans by their networks' widths: many calls on little work, and few calls on much work.
PLANS = {
    (20, 4): KernelCounts(butterflies=200_000, products=300_000, additions=100_000, calls=900),
    (90, 8): KernelCounts(butterflies=9_000_000, products=5_000_000, additions=8_000_000, calls=300),
}
FREE_US = 0.5  # the time of a cell without kernels


def exact_clock(counting, ran):
    """Makes every call once, and reports the time that the kernel model gives it at TRUTH."""

    def microseconds_in_turn(calls, reference, rounds):
        took = {}
        for key, call in calls.items():
            call()
            ran.append(key)
            if key in PLANS:
                took[key] = TRUTH.milliseconds(PLANS[key]) * 1e3
            else:
                took[key] = predicted_us(Measured(*key, 1.0), TRUTH, counting) or FREE_US
        return took, [took[reference]] * rounds

    return microseconds_in_turn


@pytest.mark.parametrize(
    ("measure", "rings", "counting", "plans"),
    [
        (measure_engine, ENGINE_RINGS, lone_operation_kernels, PLANS),
        (measure_seal, SEAL_RINGS, seal_operation_kernels, {}),
    ],
)
def test_a_machine_that_follows_the_kernel_model_is_measured_exactly(monkeypatch, measure, rings, counting, plans):
    ran = []
    whole = [WholePlan(widths, kernels, list) for widths, kernels in PLANS.items()]
    monkeypatch.setattr(measuring, "whole_plans", lambda: whole)
    monkeypatch.setattr(measuring, "microseconds_in_turn", exact_clock(counting, ran))
    found = measure(rings[:2], rounds=2)
    assert vars(found.times) == pytest.approx(vars(TRUTH), rel=1e-6)
    assert found.mean_relative_error < 1e-9
    assert set(plans) <= set(ran) and REFERENCE in ran
    assert {key[1:] for key in ran if key not in plans} == {(ring[0], level) for ring in rings[:2] for level in ring[2]}


@pytest.mark.parametrize(
    ("runtime", "rings", "counting", "largest"),
    [
        (engine_operations, ENGINE_RINGS, lone_operation_kernels, 0.25),
        (seal_operations, SEAL_RINGS, seal_operation_kernels, 0.12),
    ],
)
def test_kernel_times_explain_what_the_real_clock_says(runtime, rings, counting, largest):
    """The mean error is 0.11 for the engine and 0.05 for SEAL; counting rotations twice makes it 0.28 and 0.17."""
    cells = [cell for cell in measured_in_turn(runtime, rings[:2], 5).cells if has_kernels(cell)]
    errors = relative_errors(cells, fit_kernel_times(cells, counting), counting)
    assert abs(errors).mean() < largest


@pytest.mark.parametrize("rings", [ENGINE_RINGS, SEAL_RINGS])
def test_the_reference_is_among_the_rings(rings):
    _, degree, level = REFERENCE
    assert any(ring[0] == degree and level in ring[2] for ring in rings)


SMALL_REQUESTS = ((4096, 1, 40.0), (4096, 2, 30.0), (8192, 2, 40.0), (8192, 3, 47.0))


def test_request_steps_of_a_machine_that_follows_the_model_are_measured_exactly(monkeypatch):
    ran = []

    def microseconds_in_turn(calls, reference, rounds):
        for key, call in calls.items():
            call()
            ran.append(key)
        cells = {key: MeasuredStep(*key, REQUEST_CIPHERTEXTS, 1.0) for key in calls}
        return {key: predicted_step_us(cell, TYPICAL_REQUEST_TIMES) for key, cell in cells.items()}, []

    monkeypatch.setattr(measuring, "microseconds_in_turn", microseconds_in_turn)
    found = measure_requests(SMALL_REQUESTS)
    assert found.mean_relative_error < 1e-9
    for step in RequestTimes.__dataclass_fields__:
        ours, truth = getattr(found.times, step), getattr(TYPICAL_REQUEST_TIMES, step)
        assert ours.milliseconds(3, 2, 8192) == pytest.approx(truth.milliseconds(3, 2, 8192))
        assert sum(name == step for name, _, _ in ran) == len(SMALL_REQUESTS)


def test_a_step_that_was_not_measured_is_missed():
    with pytest.raises(ValueError, match="step 'encrypt' was not measured"):
        fit_request_times([MeasuredStep("load", 4096, 1, 1, 100.0)])
