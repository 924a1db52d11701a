"""What SEAL's operations cost on one core, in kernels. Pure.

`secure.kernels.counts` counts modular products, since that is what the units of an accelerator do. On a core, SEAL's
key switch (evaluator.cpp, switch_key_inplace) adds the 2 l (l+1) N products of digits and key in 128 bits, without
reducing them. It then reduces the 2 (l+1) N sums once, and adds the result to the ciphertext. A product without
reduction costs as much as an addition. So here these products count as additions, and the reductions as products.
"""

from __future__ import annotations

from dataclasses import replace

from secure.kernels.counts import KernelCounts, operation_kernels, plan_operation_kernels
from secure.plan import SWITCHES, Kind, Plan


def seal_operation_kernels(kind: Kind, level: int, degree: int) -> KernelCounts:
    """Kernels of one operation under SEAL. level: at which it works. degree: of the ring."""
    return reduced_once(kind, level, degree, operation_kernels(kind, level, degree))


def plan_seal_kernels(plan: Plan) -> tuple[KernelCounts, ...]:
    """Kernels of every operation of a plan under SEAL, in the plan's order."""
    degree = plan.params.poly_modulus_degree
    return tuple(
        reduced_once(op.kind, plan.working_level(op), degree, plan_operation_kernels(plan, op)) for op in plan.ops
    )


def reduced_once(kind: Kind, level: int, degree: int, kernels: KernelCounts) -> KernelCounts:
    """The kernels of one operation, with the unreduced products of a key switch counted as additions.

    kernels: what `secure.kernels.counts` counts for it.
    """
    if kind not in SWITCHES:
        return kernels
    sums, reductions = (factor * (level + 1) * degree for factor in (2 * level, 2))
    return replace(
        kernels,
        products=kernels.products - sums + reductions,
        additions=kernels.additions + sums + 2 * level * degree,
    )
