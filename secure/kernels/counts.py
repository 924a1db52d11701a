"""What one operation of a Plan costs in number-theoretic kernels, and in time on a machine with given kernel times.

The counts follow SEAL's key switch with one special prime, in which there is one digit per data prime (derived from
SEAL's source, checked against an instrumented implementation):

    key switch at level l : (l+1)(l+2) limb transforms, 2 l (l+1) N + 2 l N products, 2 l N additions;
                            a key of 2 l (l+1) N residues is read
    rescale from level l  : 2 l limb transforms, 2 (l-1) N products, 2 (l-1) N additions
    product with plaintext: 2 l N products
    square                : 3 l N products, l N additions
    product of two values : 4 l N products, l N additions
    addition              : parts * l * N additions; of a plaintext l N

One limb is N residues modulo one prime. A limb transform is (N/2) log2 N butterflies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log2

from secure.plan import Kind, Op, Plan

RESIDUE_BYTES = 8


@dataclass(frozen=True)
class KernelCounts:
    """The work of one or more operations.

    transforms: limb transforms. butterflies: those in the transforms. products, additions: modular ones, of single
    residues. key_bytes: bytes of keys that are read. calls: calls of kernels; 0 for an operation that is done within
    the call of another one.
    """

    transforms: int = 0
    butterflies: int = 0
    products: int = 0
    additions: int = 0
    key_bytes: int = 0
    calls: int = 0

    def __add__(self, other: KernelCounts) -> KernelCounts:
        return KernelCounts(
            self.transforms + other.transforms,
            self.butterflies + other.butterflies,
            self.products + other.products,
            self.additions + other.additions,
            self.key_bytes + other.key_bytes,
            self.calls + other.calls,
        )

    def times(self, factor: int) -> KernelCounts:
        """The same work `factor` times."""
        return KernelCounts(
            self.transforms * factor,
            self.butterflies * factor,
            self.products * factor,
            self.additions * factor,
            self.key_bytes * factor,
            self.calls * factor,
        )


@dataclass(frozen=True, kw_only=True)
class KernelTimes:
    """What kernels cost on one thread of one machine: nanoseconds per butterfly, per product and per addition, and
    microseconds per call."""

    butterfly_ns: float
    product_ns: float
    addition_ns: float
    call_us: float = field(default=0.0)

    def milliseconds(self, counts: KernelCounts) -> float:
        """The time of this work in milliseconds: a sum, since nothing overlaps on one thread (derived)."""
        nanoseconds = (
            counts.butterflies * self.butterfly_ns
            + counts.products * self.product_ns
            + counts.additions * self.addition_ns
        )
        return nanoseconds * 1e-6 + counts.calls * self.call_us * 1e-3


#: Typical times of a core of 2026, for plans without measured times. Only their ratios matter.
TYPICAL_TIMES = KernelTimes(butterfly_ns=0.5, product_ns=0.3, addition_ns=0.25, call_us=5.0)


def operation_kernels(kind: Kind, level: int, degree: int, parts: int = 2) -> KernelCounts:
    """Kernels of one operation. level: at which it works. degree: of the ring. parts: of an addition's ciphertexts."""
    butterflies_per_transform = degree // 2 * int(log2(degree))
    transforms = products = additions = key_bytes = 0
    match kind:
        case Kind.ROTATE | Kind.CONJUGATE | Kind.RELINEARIZE:
            transforms = (level + 1) * (level + 2)
            products = 2 * level * (level + 1) * degree + 2 * level * degree
            additions = 2 * level * degree
            key_bytes = 2 * level * (level + 1) * degree * RESIDUE_BYTES
        case Kind.RESCALE:
            transforms = 2 * level
            products = 2 * (level - 1) * degree
            additions = 2 * (level - 1) * degree
        case Kind.MULTIPLY_PLAIN:
            products = 2 * level * degree
        case Kind.SQUARE:
            products = 3 * level * degree
            additions = level * degree
        case Kind.MULTIPLY:
            products = 4 * level * degree
            additions = level * degree
        case Kind.ADD:
            additions = parts * level * degree
        case Kind.ADD_PLAIN:
            additions = level * degree
        case Kind.DROP:
            pass
    return KernelCounts(transforms, transforms * butterflies_per_transform, products, additions, key_bytes, 1)


def plan_operation_kernels(plan: Plan, op: Op) -> KernelCounts:
    """Kernels of one operation of a plan."""
    return operation_kernels(op.kind, plan.working_level(op), plan.params.poly_modulus_degree, op.parts)
