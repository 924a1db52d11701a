"""The synthetic plans are real plans, small and large, in the rings they are meant for."""

import pytest

from cipherpress.timing.whole_plans import WIDTHS, whole_plans


@pytest.mark.slow
def test_the_synthetic_plans_come_in_sizes_that_tell_calls_from_kernels():
    plans = list(whole_plans())
    assert [plan.widths for plan in plans] == list(WIDTHS)
    a_call = [plan.kernels.butterflies / plan.kernels.calls for plan in plans]
    assert max(a_call) > 5 * min(a_call) > 0
    assert all(len(plan.run()) == 1 for plan in plans)
