"""Kernels of SEAL's operations, as one core pays for them. Pure.

secure.kernels.counts counts modular products, since that is what the units of an accelerator do. SEAL's key switch
(evaluator.cpp, switch_key_inplace) adds the 2l(l+1)N products of digits and key without reduction, in 128 bits. It then
reduces the 2(l+1)N sums once, and adds the result to the ciphertext. A product without reduction costs as much as an
addition. So here these products are counted as additions, and the reductions as products.
"""

from __future__ import annotations

from dataclasses import replace

from secure.kernels.counts import KernelCounts, operation_kernels, plan_operation_kernels
from secure.plan import SWITCHES, Kind, Plan


def seal_operation_kernels(kind: Kind, level: int, degree: int) -> KernelCounts:
    """What one operation costs under SEAL."""
    return reduced_once(kind, level, degree, operation_kernels(kind, level, degree))


def plan_seal_kernels(plan: Plan) -> tuple[KernelCounts, ...]:
    """What every operation of a plan costs under SEAL, in its order."""
    degree = plan.params.poly_modulus_degree
    return tuple(
        reduced_once(op.kind, plan.working_level(op), degree, plan_operation_kernels(plan, op)) for op in plan.ops
    )


def reduced_once(kind: Kind, level: int, degree: int, kernels: KernelCounts) -> KernelCounts:
    """Kernels of one operation, with unreduced products of a key switch counted as additions."""
    if kind not in SWITCHES:
        return kernels
    sums, reductions = (factor * (level + 1) * degree for factor in (2 * level, 2))
    return replace(
        kernels,
        products=kernels.products - sums + reductions,
        additions=kernels.additions + sums + 2 * level * degree,
    )
