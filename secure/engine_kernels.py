"""What a plan costs in kernels under the engine, which shares digits between rotations and divides sums once. Pure counting.

The same rules as `secure.engine.evaluator`, followed on shadows (counts derived from its kernels; l data primes are left):

    digits of a value      : l + l^2 limb transforms, l^2 N additions
    one switch of them     : 2 l (l+1) N + l N products, 2 (l+1) N additions (the rearrangement), one key of 2 l (l+1) N residues read
    division of a sum by P : 2 (l+1) limb transforms, 2 l N products, 2 l N additions; half of each where the sum is only rotated,
                             whose first part need not be divided

Everything else costs what it costs under SEAL (`secure.kernels`), on rows of l + 1 residues where a sum is still to be divided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2

from secure.kernels import RESIDUE_BYTES, KernelCounts, KernelTimes, operation_kernels
from secure.plan import Kind, Op, Plan

#: Operations that take any sum as it is; all others need it divided.
TAKE_SUMS = (Kind.ADD, Kind.ADD_PLAIN)
#: Automorphisms, and everything that switches keys.
MOVES = (Kind.ROTATE, Kind.CONJUGATE)
SWITCHES = (*MOVES, Kind.RELINEARIZE)


def _transforms(count: int, degree: int) -> KernelCounts:
    return KernelCounts(transforms=count, butterflies=count * (degree // 2) * int(log2(degree)))


def digits_kernels(level: int, degree: int) -> KernelCounts:
    """Digits of one part of a value."""
    return _transforms(level + level * level, degree) + KernelCounts(additions=level * level * degree)


def switch_kernels(level: int, degree: int) -> KernelCounts:
    """Digits times one key."""
    residues = 2 * level * (level + 1) * degree
    return KernelCounts(
        products=residues + level * degree, additions=2 * (level + 1) * degree, key_bytes=residues * RESIDUE_BYTES
    )


def division_kernels(level: int, degree: int, parts: int = 2) -> KernelCounts:
    """A switched sum, or one part of it, divided by P."""
    residues = parts * level * degree
    return _transforms(parts * (level + 1), degree) + KernelCounts(products=residues, additions=residues)


def lone_operation_kernels(kind: Kind, level: int, degree: int) -> KernelCounts:
    """One operation that shares nothing with others: what the search orders candidates by."""
    if kind in SWITCHES:
        return digits_kernels(level, degree) + switch_kernels(level, degree) + division_kernels(level, degree)
    return operation_kernels(kind, level, degree)


@dataclass(frozen=True)
class _Shadow:
    level: int
    divided: bool
    has_digits: bool = False


def engine_kernels(plan: Plan) -> tuple[KernelCounts, ...]:
    """Kernels of every operation of a plan, in its order; a division counts where it is asked for, an output's at its operation."""
    degree = plan.params.poly_modulus_degree
    shadows: dict[int, _Shadow] = {value: _Shadow(plan.input_level, True) for value in range(plan.inputs)}
    work: list[KernelCounts] = []
    for number, op in plan.numbered():
        counts = KernelCounts()
        if op.kind not in (*TAKE_SUMS, *MOVES) and not shadows[op.args[0]].divided:
            counts += division_kernels(shadows[op.args[0]].level, degree)
            shadows[op.args[0]] = replace(shadows[op.args[0]], divided=True)
        counts += _own_kernels(op, plan.working_level(op), [shadows[arg] for arg in op.args], degree)
        if op.kind in MOVES:
            shadows[op.args[0]] = replace(shadows[op.args[0]], has_digits=True)
        switched = op.kind in SWITCHES
        summed = op.kind in TAKE_SUMS and not all(shadows[arg].divided for arg in op.args)
        shadows[number] = _Shadow(op.level, not (switched or summed))
        if number in plan.outputs and not shadows[number].divided:
            counts += division_kernels(op.level, degree)
        work.append(counts)
    return tuple(work)


def _own_kernels(op: Op, level: int, args: list[_Shadow], degree: int) -> KernelCounts:
    if op.kind in MOVES:
        own = switch_kernels(level, degree)
        if not args[0].has_digits:
            own += digits_kernels(level, degree)
            if not args[0].divided:
                own += division_kernels(level, degree, parts=1)
        return own
    if op.kind is Kind.RELINEARIZE:
        return digits_kernels(level, degree) + switch_kernels(level, degree)
    own = operation_kernels(op.kind, level, degree, op.parts)
    if op.kind not in TAKE_SUMS or all(arg.divided for arg in args):
        return own
    if op.kind is Kind.ADD and not any(arg.divided for arg in args):
        return own + KernelCounts(additions=op.parts * degree)
    return own + KernelCounts(products=own.additions)  # the divided one is multiplied by P first


def predicted_engine_milliseconds(plan: Plan, times: KernelTimes) -> float:
    """Server time of a plan under the engine on one thread."""
    return times.milliseconds(sum(engine_kernels(plan), KernelCounts()), calls=len(plan.ops))
