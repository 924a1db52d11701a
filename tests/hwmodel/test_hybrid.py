"""Hybrid key switching: against counts by hand, against published counters, and against the counts of plans."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodel.hybrid import (
    HybridRing,
    add,
    double_hoisted_matrix,
    hoisted_key_switches,
    key_switch,
    multiply,
    multiply_plain,
    rescale,
)
from hwmodel.reference import bootstrap
from hwmodel.resnet import convolutions, resnet20
from hwmodel.schemes import SCHEMES, Scheme
from secure.kernels.counts import operation_kernels
from secure.plan import Kind


@pytest.mark.parametrize("degree", [4096, 32768])
@pytest.mark.parametrize("level", [1, 2, 7])
def test_one_special_prime_and_one_prime_per_digit_equal_the_counts_of_plans(degree: int, level: int) -> None:
    ring = HybridRing(degree=degree, levels=8, special=1, digit=1)
    seal, ours = operation_kernels(Kind.ROTATE, level, degree), key_switch(ring, level)
    assert (ours.transforms, ours.butterflies, ours.key_bytes) == (seal.transforms, seal.butterflies, seal.key_bytes)
    assert ours.products == seal.products
    for kind, count in ((Kind.RESCALE, rescale), (Kind.MULTIPLY_PLAIN, multiply_plain), (Kind.ADD, add)):
        assert count(ring, level) == replace(operation_kernels(kind, level, degree), calls=0.0)


def test_three_digits_of_three_by_hand() -> None:
    """N=64, 7 primes in digits of 3, 3 and 1, and 3 special primes: an instrumented run gives these counts."""
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


def test_a_budget_cuts_the_fewest_digits_that_leave_room_for_special_primes() -> None:
    """Of 12 primes, 6 are data in one digit of 6, 8 in two of 4, 9 in three of 3, and 10 in five of 2."""
    ring = HybridRing(degree=64, levels=10, budget=12)
    assert [(ring.digit_at(level), len(ring.digits(level))) for level in (4, 6, 8, 9, 10)] == [
        (4, 1), (6, 1), (4, 2), (3, 3), (2, 5),
    ]  # fmt: skip
    assert key_switch(ring, 8) == key_switch(HybridRing(degree=64, levels=10, special=4, digit=4), 8)


def test_a_matrix_that_stays_in_the_large_modulus_by_hand() -> None:
    """6 primes in two digits of 3, 3 special primes, so R=9: 2 x 3 steps raise 3 polynomials and divide 2 + 2."""
    ring = HybridRing(degree=64, levels=6, special=3, digit=3)
    counts = double_hoisted_matrix(ring, 6, babies=2, giants=3, diagonals=5)
    assert counts.transforms == 3 * 2 * 9 + 4 * 9
    assert counts.key_bytes == 3 * 2 * 2 * 9 * ring.limb_bytes
    raised, inner, divided = 3 * 2 * 3 * (1 + 6), 3 * 2 * 2 * 9, 4 * (3 * (1 + 6) + 6)
    assert counts.products == (raised + inner + divided + 2 * 5 * 9) * 64


def test_two_primes_at_once_take_as_many_transforms_as_one() -> None:
    ring = HybridRing(degree=64, levels=6, special=1, digit=1)
    assert rescale(ring, 6, 2).transforms == rescale(ring, 6).transforms == 12
    assert rescale(ring, 6, 2).products == 2 * (2 * (1 + 4) + 4) * 64


@pytest.mark.parametrize("name", SCHEMES)
def test_a_bootstrap_ends_at_the_levels_it_leaves(name: str) -> None:
    scheme = SCHEMES[name]
    levels = [row.level for row in bootstrap(scheme).rows]
    assert levels[0] == scheme.primes[-1] and levels == sorted(levels, reverse=True)
    assert min(levels) == scheme.primes[scheme.levels_left + 1]
    assert all(row.level >= 1 and row.count >= 1 for row in resnet20(scheme).rows)


def test_bootstraps_leave_the_published_levels() -> None:
    """ARK and SHARP keep 8 levels (arXiv 2605.31004), Cheddar 13 (level 16 before slots-to-coefficients).

    Cheddar's level is that of its bootparam_40.json.
    """
    assert {name: SCHEMES[name].levels_left for name in ("ark", "sharp", "cheddar")} == {
        "ark": 8, "sharp": 8, "cheddar": 13,
    }  # fmt: skip


def conjugations(scheme: Scheme) -> int:
    """The conjugations, one in every bootstrap."""
    return sum(row.count for row in resnet20(scheme).rows if row.layer == "conjugate")


def test_a_resnet_takes_as_many_bootstraps_as_its_levels_need() -> None:
    """After the first layer 18 layers take 2 + 14 levels each.

    With the 16 levels of the published code that is one bootstrap per layer, with 8 levels it is two.
    """
    sixteen = replace(SCHEMES["ark"], primes=tuple(range(1, 33)))
    assert sixteen.levels_left == 16
    assert conjugations(sixteen) == 18
    assert conjugations(SCHEMES["ark"]) == 36


def test_convolutions_of_the_resnet_have_the_published_packing() -> None:
    """The packing of the published code: gaps 1, 2, 4; two, four and eight copies; strides where channels double."""
    layers = list(convolutions())
    assert len(layers) == 19
    assert [(layer.gap, layer.copies, layer.stride) for layer in (layers[0], layers[1], layers[7], layers[8])] == [
        (1, 8, 1), (1, 2, 1), (1, 2, 2), (2, 4, 1),
    ]  # fmt: skip
    assert (layers[-1].gap, layers[-1].size, layers[-1].stacked, layers[-1].copies) == (4, 8, 4, 8)


def test_a_scheme_of_few_keys_uses_two_for_a_matrix() -> None:
    few, many = bootstrap(SCHEMES["sharp"]), bootstrap(SCHEMES["craterlake"])
    assert sum(row.keys for row in few.rows if row.layer == "to slots 1") == 2
    assert sum(row.keys for row in many.rows if row.layer == "to slots 1") == 7 + 3


def test_extended_plaintexts_cost_transforms_instead_of_bytes() -> None:
    """63 diagonals at 24 primes: one limb of each diagonal is read, then transformed to all 24."""
    extended = bootstrap(SCHEMES["ark"])
    stored = bootstrap(replace(SCHEMES["ark"], extends_plaintexts=False))
    first, whole = (next(row for row in work.rows if row.kind is Kind.MULTIPLY_PLAIN) for work in (extended, stored))
    assert whole.plaintext_bytes == 24 * first.plaintext_bytes == 63 * 24 * 65536 * 8
    assert first.kernels.transforms - whole.kernels.transforms == 63 * 24
