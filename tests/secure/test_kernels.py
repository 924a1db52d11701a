"""Kernel counts by hand at two rings, and predicted times that add up and grow with level and ring."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secure.kernels.counts import KernelCounts, KernelTimes, operation_kernels, plan_operation_kernels
from secure.plan import Kind
from tests.secure.plans import every_kind_plan

TIMES = KernelTimes(butterfly_ns=2.0, product_ns=3.0, addition_ns=0.5, call_us=4.0)
WORKING = [kind for kind in Kind if kind is not Kind.DROP]

# kind, level, N; then transforms, butterflies, products, additions, key bytes, each worked out on paper
BY_HAND = [
    (Kind.ROTATE, 2, 4096, 12, 12 * 24576, 65536, 16384, 393216),
    (Kind.ROTATE, 3, 8192, 20, 20 * 53248, 245760, 49152, 1572864),
    (Kind.RELINEARIZE, 1, 4096, 6, 6 * 24576, 24576, 8192, 131072),
    (Kind.RELINEARIZE, 3, 8192, 20, 20 * 53248, 245760, 49152, 1572864),
    (Kind.RESCALE, 2, 4096, 4, 4 * 24576, 8192, 8192, 0),
    (Kind.RESCALE, 3, 8192, 6, 6 * 53248, 32768, 32768, 0),
    (Kind.MULTIPLY_PLAIN, 2, 4096, 0, 0, 16384, 0, 0),
    (Kind.MULTIPLY_PLAIN, 3, 8192, 0, 0, 49152, 0, 0),
    (Kind.SQUARE, 2, 4096, 0, 0, 24576, 8192, 0),
    (Kind.SQUARE, 3, 8192, 0, 0, 73728, 24576, 0),
    (Kind.ADD, 2, 4096, 0, 0, 0, 16384, 0),
    (Kind.ADD, 3, 8192, 0, 0, 0, 49152, 0),
    (Kind.ADD_PLAIN, 2, 4096, 0, 0, 0, 8192, 0),
    (Kind.ADD_PLAIN, 3, 8192, 0, 0, 0, 24576, 0),
    (Kind.DROP, 2, 4096, 0, 0, 0, 0, 0),
    (Kind.DROP, 3, 8192, 0, 0, 0, 0, 0),
]


@pytest.mark.parametrize(
    ("kind", "level", "degree", "transforms", "butterflies", "products", "additions", "keys"), BY_HAND
)
def test_counts_by_hand(kind, level, degree, transforms, butterflies, products, additions, keys):
    wanted = KernelCounts(transforms, butterflies, products, additions, keys, 1.0)
    assert operation_kernels(kind, level, degree) == wanted


def test_adding_three_parts_costs_half_as_much_again_as_two():
    two, three = (operation_kernels(Kind.ADD, 2, 4096, parts).additions for parts in (2, 3))
    assert (two, three) == (16384, 24576)


def test_counts_add_field_by_field():
    assert KernelCounts(1, 2, 3, 4, 5, 6) + KernelCounts(10, 20, 30, 40, 50, 60) == KernelCounts(11, 22, 33, 44, 55, 66)


def test_milliseconds_by_hand():
    # 1e6 butterflies of 2 ns, 2e6 products of 3 ns, 4e6 additions of 0.5 ns, 5 calls of 4 us
    assert TIMES.milliseconds(KernelCounts(7, 10**6, 2 * 10**6, 4 * 10**6, 99, 5.0)) == pytest.approx(10.02)


def test_a_rescale_and_a_drop_are_counted_at_the_level_they_leave():
    plan = every_kind_plan()
    rescale = next(op for op in plan.ops if op.kind is Kind.RESCALE)
    assert rescale.level == 1
    assert plan_operation_kernels(plan, rescale) == operation_kernels(Kind.RESCALE, 2, 4096)


@given(st.sampled_from(WORKING), st.integers(1, 20), st.sampled_from([4096, 8192, 16384]), st.integers(2, 3))
def test_an_operation_costs_more_at_a_higher_level_and_in_a_larger_ring(kind, level, degree, parts):
    here = TIMES.milliseconds(operation_kernels(kind, level, degree, parts))
    assert here < TIMES.milliseconds(operation_kernels(kind, level + 1, degree, parts))
    assert here < TIMES.milliseconds(operation_kernels(kind, level, 2 * degree, parts))
