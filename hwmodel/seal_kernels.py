"""Kernels of SEAL's operations as one core pays for them. Pure.

secure.kernels counts modular products, which is what an accelerator's units do. Inside a key switch SEAL (evaluator.cpp,
switch_key_inplace, read) adds the 2l(l+1)N products of digits and key unreduced, in 128 bits, reduces the 2(l+1)N sums once at
the end, and adds the result to the ciphertext. A product without its reduction costs what an addition costs, so these are
priced as additions, and the reductions as products.
"""

from __future__ import annotations

from hwmodel.encrypted_counts import KEY_SWITCHES, OperationWork
from secure.kernels import KernelCounts, operation_kernels
from secure.plan import Kind


def seal_operation_kernels(kind: Kind, level: int, degree: int) -> KernelCounts:
    """What one operation costs under SEAL."""
    return _unreduced(kind, level, degree, 1, operation_kernels(kind, level, degree))


def seal_kernels(row: OperationWork, degree: int) -> KernelCounts:
    """What the operations of a row cost under SEAL."""
    return _unreduced(row.kind, row.level, degree, row.count, row.kernels)


def _unreduced(kind: Kind, level: int, degree: int, count: int, kernels: KernelCounts) -> KernelCounts:
    if kind not in KEY_SWITCHES:
        return kernels
    unreduced, reductions = (count * factor * (level + 1) * degree for factor in (2 * level, 2))
    return KernelCounts(
        kernels.transforms,
        kernels.butterflies,
        kernels.products - unreduced + reductions,
        kernels.additions + unreduced + count * 2 * level * degree,
        kernels.key_bytes,
    )
