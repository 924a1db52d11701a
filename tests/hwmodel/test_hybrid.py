"""Hybrid key switching: against hand counts, against published counters, and against what plans are counted with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel.hybrid import HybridRing, add, hoisted_key_switches, key_switch, multiply, multiply_plain, rescale
from hwmodel.reference import SCHEMES, bootstrap, resnet20
from secure.kernels import operation_kernels
from secure.plan import Kind


@pytest.mark.parametrize("degree", [4096, 32768])
@pytest.mark.parametrize("level", [1, 2, 7])
def test_with_one_special_prime_and_one_prime_a_digit_it_is_what_plans_are_counted_with(
    degree: int, level: int
) -> None:
    ring = HybridRing(degree=degree, levels=8, special=1, digit=1)
    seal, ours = operation_kernels(Kind.ROTATE, level, degree), key_switch(ring, level)
    assert (ours.transforms, ours.butterflies, ours.key_bytes) == (seal.transforms, seal.butterflies, seal.key_bytes)
    assert ours.products == seal.products
    assert rescale(ring, level) == operation_kernels(Kind.RESCALE, level, degree)
    assert multiply_plain(ring, level) == operation_kernels(Kind.MULTIPLY_PLAIN, level, degree)
    assert add(ring, level) == operation_kernels(Kind.ADD, level, degree)


def test_three_digits_of_three_by_hand() -> None:
    """N=64, 7 primes in digits of 3, 3, 1, 3 special ones: the cost-model notes' instrumented run gives these counts."""
    counts = key_switch(HybridRing(degree=64, levels=7, special=3, digit=3), 7)
    assert counts.transforms == 50
    assert counts.butterflies == 9_600
    assert counts.butterflies + counts.products == 20_480
    assert counts.key_bytes == 3_840 * 8


@pytest.mark.parametrize(
    ("level", "digits", "rotation", "product"), [(38, 3, 260, 336), (40, 2, 244, 324)], ids=["GPU set", "ALG set"]
)
def test_simfhe_counts_the_same_transforms(level: int, digits: int, rotation: int, product: int) -> None:
    digit = -(-level // digits)
    ring = HybridRing(degree=1 << 17, levels=level, special=digit + 1, digit=digit)
    assert key_switch(ring, level).transforms == rotation
    assert key_switch(ring, level).transforms + rescale(ring, level).transforms == product


@given(level=st.integers(1, 40), digit=st.integers(1, 12), special=st.integers(1, 12), count=st.integers(1, 9))
def test_hoisting_saves_the_raising_of_digits_and_nothing_else(
    level: int, digit: int, special: int, count: int
) -> None:
    ring = HybridRing(degree=64, levels=40, special=special, digit=digit)
    apart, together = key_switch(ring, level), hoisted_key_switches(ring, level, count)
    assert count * apart.transforms - together.transforms == (count - 1) * ring.raised_limbs(level)
    assert together.key_bytes == count * apart.key_bytes
    assert together.products <= count * apart.products


def test_a_tensor_product_by_hand() -> None:
    assert multiply(HybridRing(degree=64, levels=5, special=2, digit=2), 5).products == 4 * 5 * 64


@pytest.mark.parametrize("name", SCHEMES)
def test_a_resnet_holds_its_bootstraps(name: str) -> None:
    one, network = bootstrap(SCHEMES[name]), resnet20(SCHEMES[name])
    assert one.kernels.transforms > 10_000
    assert network.kernels.transforms > 21 * one.kernels.transforms
    assert all(row.level >= 1 and row.count >= 1 for row in network.rows)


def test_a_scheme_of_few_keys_uses_two_for_a_matrix() -> None:
    few, many = bootstrap(SCHEMES["sharp"]), bootstrap(SCHEMES["craterlake"])
    assert sum(row.keys for row in few.rows if row.layer == "to slots 1") == 2
    assert sum(row.keys for row in many.rows if row.layer == "to slots 1") == 14
