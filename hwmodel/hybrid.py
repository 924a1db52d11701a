"""Kernels of CKKS operations under hybrid key switching, as libraries and accelerators with several special primes do it.

Symbols and formulas of the cost-model notes 1.1 to 1.4 (derived there, checked against an instrumented implementation and
against SimFHE's counters): N ring degree, l primes of the ciphertext, k special primes, alpha primes a digit,
beta = ceil(l / alpha) digits, R = l + k. With k = alpha = 1 they are SEAL's, which secure.kernels counts for plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

from secure.kernels import RESIDUE_BYTES, KernelCounts


@dataclass(frozen=True, kw_only=True)
class HybridRing:
    """A ring with `levels` data primes, `special` ones and digits of `digit` primes; bytes at 8 a residue, as plans count."""

    degree: int
    levels: int
    special: int
    digit: int

    @property
    def limb_bytes(self) -> int:
        return self.degree * RESIDUE_BYTES

    def raised_limbs(self, level: int) -> int:
        """Limbs of all digits raised to the full modulus."""
        return ceil(level / self.digit) * (level + self.special)

    def key_limbs(self, level: int) -> int:
        """Limbs of one key that a switch at `level` reads."""
        return 2 * self.raised_limbs(level)

    def stored_key_limbs(self) -> int:
        """Limbs of one key as it is stored, for the top level."""
        return self.key_limbs(self.levels)


def key_switch(ring: HybridRing, level: int) -> KernelCounts:
    """One relinearization or rotation at `level`."""
    digits = [min(ring.digit, level - start) for start in range(0, level, ring.digit)]
    full = level + ring.special
    conversions = sum(size * (1 + full - size) for size in digits if size > 1)
    if ring.special > 1:
        conversions += 2 * ring.special * (1 + level)
    inner, scaled_down = 2 * len(digits) * full, 2 * level
    return _kernels(
        ring,
        transforms=(len(digits) + 2) * full,
        product_limbs=conversions + inner + scaled_down,
        addition_limbs=conversions + 2 * (len(digits) - 1) * full + scaled_down,
        key_limbs=ring.key_limbs(level),
    )


def hoisted_key_switches(ring: HybridRing, level: int, count: int) -> KernelCounts:
    """`count` rotations of one ciphertext that share the raising of its digits."""
    digits = [min(ring.digit, level - start) for start in range(0, level, ring.digit)]
    full = level + ring.special
    raised = sum(size * (1 + full - size) for size in digits if size > 1)
    lowered = 2 * ring.special * (1 + level) if ring.special > 1 else 0
    each = 2 * len(digits) * full + 2 * level + lowered
    return _kernels(
        ring,
        transforms=len(digits) * full + 2 * count * full,
        product_limbs=raised + count * each,
        addition_limbs=raised + count * (lowered + 2 * (len(digits) - 1) * full + 2 * level),
        key_limbs=count * ring.key_limbs(level),
    )


def rescale(ring: HybridRing, level: int) -> KernelCounts:
    """Division of both parts by the last of `level` primes."""
    return _kernels(ring, transforms=2 * level, product_limbs=2 * (level - 1), addition_limbs=2 * (level - 1))


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
