"""The correction of kernel times on whole plans: recovered from samples made by hand, and real plans in the rings they are meant for."""

import pytest

from hwmodel.architecture import kernel_times
from hwmodel.architecture_file import load_architecture
from secure.kernels import KernelTimes
from timing.whole_plans import PlanSample, corrected, plan_samples

TIMES = KernelTimes(butterfly_ns=0.5, product_ns=1.0, addition_ns=0.25, call_us=7.0)


def test_a_factor_and_a_call_are_recovered():
    samples = [PlanSample(k, n, 1.25 * k + 0.012 * n) for k, n in ((1.5, 70), (7.0, 110), (50.0, 340))]
    found = corrected(TIMES, samples)
    assert found.call_us == pytest.approx(12.0)
    assert (found.butterfly_ns, found.product_ns, found.addition_ns) == pytest.approx((0.625, 1.25, 0.3125))


def test_a_disturbed_machine_does_not_move_kernels_without_bound():
    found = corrected(TIMES, [PlanSample(k, 10, 100 * k) for k in (1.0, 2.0, 3.0)])
    assert found.butterfly_ns == pytest.approx(1.5)


@pytest.mark.slow
def test_the_synthetic_plans_cover_three_rings_and_take_time():
    samples = plan_samples(kernel_times(load_architecture("cpu-engine")))
    assert len(samples) == 3
    assert all(one.measured_ms > 0.3 * one.kernels_ms > 0 and one.operations > 20 for one in samples)
    assert sorted(one.kernels_ms for one in samples) == [one.kernels_ms for one in samples]
