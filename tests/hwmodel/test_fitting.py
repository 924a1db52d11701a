"""The fit finds the kernel times that the data was made with, and never a negative time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cipherpress.timing.fitting import (
    Measured,
    MeasuredPlan,
    fit_kernel_times,
    has_kernels,
    kernel_names,
    nonnegative_least_squares,
    predicted_us,
    relative_errors,
)
from secure.kernels.counts import KernelCounts, KernelTimes
from secure.plan import Kind

TRUTH = KernelTimes(**{name: 0.5 + 0.75 * position for position, name in enumerate(kernel_names())})


def synthetic(times: KernelTimes) -> list[Measured]:
    """The cells that a machine with these kernel times would measure."""
    empty = [
        Measured(kind, degree, level, 1.0)
        for kind in Kind
        for degree, level in ((4096, 1), (4096, 3), (8192, 2), (8192, 5), (16384, 8))
    ]
    return [
        Measured(cell.kind, cell.degree, cell.level, predicted_us(cell, times)) for cell in empty if has_kernels(cell)
    ]


def test_the_fit_recovers_the_times_behind_exact_data() -> None:
    fitted = fit_kernel_times(synthetic(TRUTH))
    for name in kernel_names():
        assert getattr(fitted, name) == pytest.approx(getattr(TRUTH, name), rel=1e-5)
    assert np.abs(relative_errors(synthetic(TRUTH), fitted)).max() < 1e-6


def test_the_fit_is_relative_so_small_operations_count_as_much_as_large_ones() -> None:
    doubled = [Measured(cell.kind, cell.degree, cell.level, 2 * cell.microseconds) for cell in synthetic(TRUTH)]
    assert fit_kernel_times(doubled).butterfly_ns == pytest.approx(2 * TRUTH.butterfly_ns, rel=1e-5)


def test_calls_in_plans_and_in_loops_are_fitted_separately() -> None:
    """On the same machine a call takes 9 us in plans and 2 us in cells."""
    alone = replace(TRUTH, call_us=2.0)
    counts = [
        KernelCounts(0, b, p, a, 0, c) for b, p, a, c in ((1e6, 1e5, 1e5, 30), (1e5, 9e5, 1e5, 60), (1e5, 1e5, 5e5, 90))
    ]
    plans = [MeasuredPlan(one, replace(TRUTH, call_us=9.0).milliseconds(one) * 1e3) for one in counts]
    fitted = fit_kernel_times(synthetic(alone), plans=plans)
    assert vars(fitted) == pytest.approx(vars(replace(TRUTH, call_us=9.0)))


def test_plans_do_not_change_times_of_kernels_that_they_lack() -> None:
    """A plan of transforms alone says nothing about products, so their time comes from the cells."""
    plan = MeasuredPlan(KernelCounts(0, 10**6, 0, 0, 0, 1.0), TRUTH.butterfly_ns * 1e3 + 5.0)
    fitted = fit_kernel_times(synthetic(TRUTH), plans=[plan])
    assert fitted.product_ns == pytest.approx(TRUTH.product_ns)
    assert fitted.call_us == pytest.approx(5.0)


def test_least_squares_keeps_to_positive_coefficients() -> None:
    matrix = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    assert nonnegative_least_squares(matrix, np.array([3.0, 2.0, 1.0])) == pytest.approx([2.0, 0.0])
    assert nonnegative_least_squares(matrix, np.array([3.0, 4.0, 5.0])) == pytest.approx([2.0, 1.0])
    assert nonnegative_least_squares(matrix, -np.ones(3)) == pytest.approx([0.0, 0.0])
