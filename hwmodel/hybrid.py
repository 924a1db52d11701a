"""Kernels of CKKS operations under hybrid key switching, as libraries and accelerators with several special primes do
it.

Symbols: N ring degree, l primes of the ciphertext, k special primes, alpha primes per digit, beta = ceil(l / alpha)
digits, R = l + k. The formulas are derived, and were checked against an instrumented implementation and against the
counters of SimFHE. With k = alpha = 1 they give SEAL's kernels, which secure.kernels.counts counts for plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count as count_from
from math import ceil, log2

from secure.kernels.counts import RESIDUE_BYTES, KernelCounts


@dataclass(frozen=True, kw_only=True)
class HybridRing:
    """A ring with `levels` data primes, `special` special primes and digits of `digit` primes.

    Bytes count 8 per residue, as for plans.
    budget: number of primes that the modulus may have at the security level. With a budget, a key switch cuts a
    ciphertext into the fewest digits that leave room for as many special primes as a digit has (CraterLake's boosted
    key switching). Without one (0), digits have a fixed size.
    """

    degree: int
    levels: int
    special: int = 0
    digit: int = 0
    budget: int = 0

    @property
    def limb_bytes(self) -> int:
        return self.degree * RESIDUE_BYTES

    def digit_at(self, level: int) -> int:
        """Primes per digit of a ciphertext at `level`. With a budget the special modulus has as many primes."""
        if not self.budget:
            return self.digit
        return next(size for size in (ceil(level / count) for count in count_from(1)) if level + size <= self.budget)

    def special_at(self, level: int) -> int:
        """Special primes that a key switch at `level` uses."""
        return self.digit_at(level) if self.budget else self.special

    def digits(self, level: int) -> list[int]:
        """Primes in each digit."""
        digit = self.digit_at(level)
        return [min(digit, level - start) for start in range(0, level, digit)]

    def raised_limbs(self, level: int) -> int:
        """Limbs of all digits raised to the full modulus."""
        return len(self.digits(level)) * (level + self.special_at(level))

    def key_limbs(self, level: int) -> int:
        """Limbs of one key that a switch at `level` reads."""
        return 2 * self.raised_limbs(level)

    def stored_key_limbs(self) -> int:
        """Limbs of one key as it is stored, for the top level."""
        return self.key_limbs(self.levels)


def key_switch(ring: HybridRing, level: int) -> KernelCounts:
    """One relinearization or rotation at `level`."""
    return hoisted_key_switches(ring, level, 1)


def hoisted_key_switches(ring: HybridRing, level: int, count: int) -> KernelCounts:
    """`count` rotations of one ciphertext that share the raising of its digits."""
    return (
        _raise_digits(ring, level, 1) + _inner_products(ring, level, count) + _divide_by_special(ring, level, 2 * count)
    )


def double_hoisted_matrix(ring: HybridRing, level: int, babies: int, giants: int, diagonals: int) -> KernelCounts:
    """A matrix of diagonals whose products stay in the large modulus.

    Digits are raised once for all baby steps and once per giant step. One part is divided by the special primes per
    giant step, and two parts at the end.
    """
    full = level + ring.special_at(level)
    diagonal_products = _kernels(ring, product_limbs=2 * diagonals * full, addition_limbs=2 * (diagonals - 1) * full)
    return (
        _raise_digits(ring, level, giants)
        + _inner_products(ring, level, babies + giants - 2)
        + diagonal_products
        + _divide_by_special(ring, level, giants - 1 + 2)
    )


def _raise_digits(ring: HybridRing, level: int, count: int) -> KernelCounts:
    """Digits of `count` polynomials, raised to the full modulus."""
    digits, full = ring.digits(level), level + ring.special_at(level)
    conversions = sum(size * (1 + full - size) for size in digits if size > 1)
    return _kernels(
        ring,
        transforms=count * len(digits) * full,
        product_limbs=count * conversions,
        addition_limbs=count * conversions,
    )


def _inner_products(ring: HybridRing, level: int, count: int) -> KernelCounts:
    """Raised digits times `count` keys."""
    digits, full = len(ring.digits(level)), level + ring.special_at(level)
    return _kernels(
        ring,
        product_limbs=count * 2 * digits * full,
        addition_limbs=count * 2 * (digits - 1) * full,
        key_limbs=count * ring.key_limbs(level),
    )


def _divide_by_special(ring: HybridRing, level: int, parts: int) -> KernelCounts:
    """`parts` polynomials of the full modulus divided by the special primes."""
    special = ring.special_at(level)
    lowered = special * (1 + level) if special > 1 else 0
    return _kernels(
        ring,
        transforms=parts * (level + special),
        product_limbs=parts * (lowered + level),
        addition_limbs=parts * (lowered + level),
    )


def rescale(ring: HybridRing, level: int, primes: int = 1) -> KernelCounts:
    """Division of both parts by the last `primes` of `level` primes in one step."""
    left = level - primes
    conversions = primes * (1 + left) if primes > 1 else 0
    limbs = 2 * (conversions + left)
    return _kernels(ring, transforms=2 * level, product_limbs=limbs, addition_limbs=limbs)


def base_change(ring: HybridRing, level: int, to_level: int, parts: int = 2) -> KernelCounts:
    """`parts` polynomials of `level` primes extended to `to_level` primes.

    level 0: the polynomials are coefficients, which need no transform first.
    """
    conversions = level * (1 + to_level - level) if level > 1 else 0
    return _kernels(
        ring,
        transforms=parts * (level + to_level),
        product_limbs=parts * conversions,
        addition_limbs=parts * max(conversions, to_level),
    )


def multiply_plain(ring: HybridRing, level: int) -> KernelCounts:
    """A plaintext in transform form times both parts."""
    return _kernels(ring, product_limbs=2 * level)


def multiply(ring: HybridRing, level: int) -> KernelCounts:
    """The tensor product of two ciphertexts, before its relinearization."""
    return _kernels(ring, product_limbs=4 * level, addition_limbs=level)


def add(ring: HybridRing, level: int) -> KernelCounts:
    """Two ciphertexts of two parts."""
    return _kernels(ring, addition_limbs=2 * level)


def _kernels(
    ring: HybridRing, *, transforms: int = 0, product_limbs: int = 0, addition_limbs: int = 0, key_limbs: int = 0
) -> KernelCounts:
    return KernelCounts(
        transforms,
        transforms * (ring.degree // 2) * int(log2(ring.degree)),
        product_limbs * ring.degree,
        addition_limbs * ring.degree,
        key_limbs * ring.limb_bytes,
    )
