"""The synthetic plans are real plans, small and large, in the rings they are meant for."""

import pytest

from cipherpress.timing.whole_plans import WIDTHS, whole_plans


@pytest.mark.slow
def test_synthetic_plans_separate_the_cost_of_calls_from_that_of_kernels():
    plans = list(whole_plans())
    assert [plan.widths for plan in plans] == list(WIDTHS)
    a_call = [plan.kernels.butterflies / plan.kernels.calls for plan in plans]
    assert max(a_call) > 5 * min(a_call) > 0
    assert all(len(plan.run()) == 1 for plan in plans)
