"""What a plan costs in kernels under the engine, which shares digits between rotations and divides sums once. Pure.

The counts follow the schedule that the engine runs. `secure.engine.schedule` says which values stay extended, that is,
not yet divided by the special prime P. The counts are derived from the engine's kernels. With l data primes left and N
residues per row:

    digits of a value      : l + l^2 limb transforms, l^2 N additions
    one key switch of them : 2 l (l+1) N products with a key that is read, 8 (l+1) N additions: 2 (l+1) N residues are
                             added, and gathered from other places, which takes as long as three additions each;
                             for the first part, which is rotated without a key, 2 l N additions, 2 (l+1) N if it is
                             extended
    division of a sum by P : 2 (l+1) limb transforms, 8 l N additions; half of each if the sum is only rotated, since
                             its first part need not be divided; dividing by P and the last data prime at once also
                             takes 2 (l+1) limb transforms
    product with a constant: 2 l N products, 2 (l+1) N if the value is extended
    addition               : nothing if the summand is made inside the sum; otherwise one pass of additions for each
                             value that is added, two if it must be multiplied by P
    square, rescale        : 8 l N additions; 2 l limb transforms and 8 (l-1) N additions

"Products" are those with keys and constants; most of their time goes into reading these from memory. A product of two
values that are in the caches counts as two additions. Every line is one call, except that one call does four products
of the same form in a row.
"""

from __future__ import annotations

from dataclasses import replace
from math import log2

from secure.engine.schedule import (
    PRODUCTS_PER_CALL,
    Apply,
    Form,
    Offset,
    Product,
    Schedule,
    Summand,
    Term,
    Turn,
    schedule,
)
from secure.kernels.counts import RESIDUE_BYTES, KernelCounts, operation_kernels
from secure.plan import SWITCHES, Kind, Plan


def _call(transforms: int, degree: int, additions: int) -> KernelCounts:
    """One call with this many limb transforms and additions."""
    butterflies = transforms * (degree // 2) * int(log2(degree))
    return KernelCounts(transforms, butterflies, additions=additions, calls=1)


def digits_kernels(level: int, degree: int) -> KernelCounts:
    """Kernels that compute the digits of one part of a value."""
    return _call(level + level * level, degree, level * level * degree)


def switch_kernels(level: int, degree: int, carried_rows: int | None = None) -> KernelCounts:
    """Kernels that multiply digits with one key.

    carried_rows: how many rows are rotated without a key in the same call; by default `level`, those of a divided part.
    """
    residues = 2 * level * (level + 1) * degree
    carried = (level if carried_rows is None else carried_rows) * degree
    return KernelCounts(
        products=residues,
        additions=8 * (level + 1) * degree + 2 * carried,
        key_bytes=residues * RESIDUE_BYTES,
        calls=1,
    )


def division_kernels(level: int, degree: int, parts: int = 2) -> KernelCounts:
    """Kernels that divide an extended sum, or one part of it, by P."""
    return _call(parts * (level + 1), degree, 4 * parts * level * degree)


def joint_division_kernels(level: int, degree: int) -> KernelCounts:
    """Kernels that divide an extended sum by P and by its last data prime at once."""
    return _call(2 * (level + 1), degree, 12 * level * degree)


def product_kernels(level: int, degree: int, extended: bool = False, parts: int = 2) -> KernelCounts:
    """Kernels of a product with a constant, including the addition to its sum. `product_calls` counts the calls."""
    return KernelCounts(products=parts * (level + extended) * degree)


def product_calls(products: int) -> KernelCounts:
    """The calls that this many products of one form in a row need."""
    return KernelCounts(calls=products // PRODUCTS_PER_CALL + products % PRODUCTS_PER_CALL)


def summand_kernels(level: int, degree: int, form: Form, parts: int = 2) -> KernelCounts:
    """Kernels that add a value to a sum. form: how the value enters the sum."""
    residues = parts * (level + (form is Form.EXTENDED)) * degree
    return KernelCounts(additions=residues * (2 if form is Form.LIFTED else 1), calls=1)


def lone_operation_kernels(kind: Kind, level: int, degree: int) -> KernelCounts:
    """Kernels of one operation that shares no work with others. The search prices drafts by it."""
    if kind in SWITCHES:
        return digits_kernels(level, degree) + switch_kernels(level, degree) + division_kernels(level, degree)
    return _at_hand_kernels(kind, level, degree, 2)


def _at_hand_kernels(kind: Kind, level: int, degree: int, parts: int) -> KernelCounts:
    """Kernels of an operation without a key switch."""
    if kind is Kind.RESCALE:
        return _call(parts * level, degree, 4 * parts * (level - 1) * degree)
    if kind is Kind.SQUARE:
        return _call(0, degree, 8 * level * degree)
    return operation_kernels(kind, level, degree, parts)


def engine_kernels(plan: Plan) -> tuple[KernelCounts, ...]:
    """Kernels of every operation of a plan, in its order.

    A division counts for the operation that makes the divided value. If only one part is divided, it counts for the
    rotation that needs the digits of that part.
    """
    work = [KernelCounts() for _ in plan.ops]
    for op, counts in _counted(plan, schedule(plan)):
        work[op - plan.inputs] += counts
    return tuple(work)


def _counted(plan: Plan, steps: Schedule) -> list[tuple[int, KernelCounts]]:
    """(id of the value that an operation makes, kernels) for every part of every step. Ids may repeat."""
    degree = plan.params.poly_modulus_degree
    result: list[tuple[int, KernelCounts]] = []
    extended: set[int] = set()
    taken_apart: set[int] = set()
    for step in steps.steps:
        op = plan.ops[step.result - plan.inputs]
        if isinstance(step, Apply):
            level = plan.working_level(op)
            joint = joint_division_kernels(level, degree)
            result.append((step.result, joint if step.joined else _at_hand_kernels(op.kind, level, degree, op.parts)))
            continue
        for call in step.calls:
            for place, term in enumerate(call):
                if isinstance(term, Turn) and term.source not in taken_apart:
                    taken_apart.add(term.source)
                    result.append((term.op, digits_kernels(op.level, degree)))
                    if term.source in extended:
                        result.append((term.op, division_kernels(op.level, degree, parts=1)))
                own = _term_kernels(term, op.level, degree, op.parts, extended)
                result.append((term.op, replace(own, calls=int(place == 0))))
        if step.divided:
            result.append((step.result, division_kernels(op.level, degree)))
        elif step.extended:
            extended.add(step.result)
    return result


def _term_kernels(term: Term, level: int, degree: int, parts: int, extended: set[int]) -> KernelCounts:
    """Kernels of one term without the digits of its source. extended: values that are extended."""
    match term:
        case Turn():
            relinearized = 2 * level if term.element is None else level
            return switch_kernels(level, degree, level + 1 if term.source in extended else relinearized)
        case Product():
            return product_kernels(level, degree, term.form is Form.EXTENDED, parts)
        case Summand():
            return summand_kernels(level, degree, term.form, parts)
        case Offset():
            return KernelCounts(additions=level * degree, calls=1)
