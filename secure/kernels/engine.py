"""What a plan costs in kernels under the engine, which shares digits between rotations and divides sums once. Pure.

The counts follow the schedule that the engine runs. `secure.engine.schedule` says which values stay extended, that is,
not yet divided by P, the product of the special primes. The counts are derived from the engine's kernels. With l data
primes left, a special primes, d digits of g primes each, and N residues per row:

    digits of a value      : l + d (l+a-g) limb transforms; d (l+a-g) rows are converted from g primes
    one key switch of them : 2 d (l+a) N products with a key that is read, 8 (l+a) N additions: 2 (l+a) N residues are
                             added, and gathered from other places, which takes as long as three additions each;
                             for the first part, which is rotated without a key, 2 l N additions, 2 (l+a) N if it is
                             extended
    division of a sum by P : 2 (l+a) limb transforms, 6 l N additions, and 2 l rows are converted from a primes; half of
                             each if the sum is only rotated, since its first part need not be divided; dividing by P
                             and the last data prime at once also takes 2 (l+a) limb transforms
    product with a constant: 2 l N products, 2 (l+a) N if the value is extended
    conversion of a row    : N additions from one prime; from g primes CONVERSION_ADDITIONS g N, and WEIGHT_ADDITIONS N
                             for each of the g primes once
    addition               : nothing if the summand is made inside the sum; otherwise one pass of additions for each
                             value that is added, two if it must be multiplied by P
    square, product, rescale : 8 l N additions; 10 l N additions; 2 l limb transforms and 8 (l-1) N additions

"Products" are those with keys and constants; most of their time goes into reading these from memory. A product of two
values that are in the caches counts as two additions. Every line is one call, except that one call does four products
of the same form in a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
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
from secure.params import Params
from secure.plan import SWITCHES, Kind, Op, Plan

#: Additions that a conversion from several primes costs for each residue and prime, and those of the product that every
#: residue of such a group takes before (measured: 0.26 and 0.29 ns, where an addition takes 0.07 ns).
CONVERSION_ADDITIONS, WEIGHT_ADDITIONS = 4, 4


@dataclass(frozen=True)
class Switching:
    """How keys are switched. specials: the number of special primes. digits: the data primes of every digit at the top
    level; empty: one each."""

    specials: int = 1
    digits: tuple[int, ...] = ()

    @staticmethod
    def of(params: Params) -> Switching:
        """That of a parameter set."""
        return Switching(len(params.special_primes), params.digits)

    @property
    def is_hybrid(self) -> bool:
        """Whether the engine's kernels for groups of primes do the work."""
        return self.specials > 1 or bool(self.digits)

    def sizes(self, level: int) -> tuple[int, ...]:
        """The primes of every digit of a value at this level."""
        if not self.digits:
            return (1,) * level
        ends = accumulate(self.digits)
        return tuple(
            size - max(0, end - level) for size, end in zip(self.digits, ends, strict=True) if end - size < level
        )

    def converted(self, rows: int, primes: int) -> int:
        """Additions, in rows, of converting this many rows from this many primes."""
        return rows if primes == 1 else CONVERSION_ADDITIONS * primes * rows

    def weighted(self, rows: int) -> int:
        """Additions, in rows, of the products that these rows take before a conversion."""
        return WEIGHT_ADDITIONS * rows if self.is_hybrid else 0


#: Key switches as SEAL has them, with one special prime and digits of one prime.
PLAIN = Switching()


def _call(transforms: int, degree: int, additions: int) -> KernelCounts:
    """One call with this many limb transforms and additions."""
    butterflies = transforms * (degree // 2) * int(log2(degree))
    return KernelCounts(transforms, butterflies, additions=additions, calls=1)


def digits_kernels(level: int, degree: int, switching: Switching = PLAIN) -> KernelCounts:
    """Kernels that compute the digits of one part of a value."""
    sizes, rows = switching.sizes(level), level + switching.specials
    additions = sum(switching.converted(rows - size, size) for size in sizes) + switching.weighted(level)
    return _call(level + sum(rows - size for size in sizes), degree, additions * degree)


def switch_kernels(
    level: int, degree: int, carried_rows: int | None = None, switching: Switching = PLAIN
) -> KernelCounts:
    """Kernels that multiply digits with one key.

    carried_rows: how many rows are rotated without a key in the same call; by default `level`, those of a divided part.
    """
    rows = level + switching.specials
    residues = 2 * len(switching.sizes(level)) * rows * degree
    carried = (level if carried_rows is None else carried_rows) * degree
    return KernelCounts(
        products=residues,
        additions=8 * rows * degree + 2 * carried,
        key_bytes=residues * RESIDUE_BYTES,
        calls=1,
    )


def division_kernels(level: int, degree: int, parts: int = 2, switching: Switching = PLAIN) -> KernelCounts:
    """Kernels that divide an extended sum, or one part of it, by P."""
    specials = switching.specials
    additions = 3 * level + switching.converted(level, specials) + switching.weighted(specials)
    return _call(parts * (level + specials), degree, parts * additions * degree)


def joint_division_kernels(level: int, degree: int, switching: Switching = PLAIN) -> KernelCounts:
    """Kernels that divide an extended sum by P and by its last data prime at once."""
    specials = switching.specials
    if not switching.is_hybrid:
        return _call(2 * (level + 1), degree, 12 * level * degree)
    additions = 3 * (level - 1) + switching.converted(level - 1, specials + 1) + switching.weighted(specials + 1)
    return _call(2 * (level + specials), degree, 2 * additions * degree)


def product_kernels(
    level: int, degree: int, extended: bool = False, parts: int = 2, switching: Switching = PLAIN
) -> KernelCounts:
    """Kernels of a product with a constant, including the addition to its sum. `product_calls` counts the calls."""
    return KernelCounts(products=parts * (level + switching.specials * extended) * degree)


def product_calls(products: int) -> KernelCounts:
    """The calls that this many products of one form in a row need."""
    return KernelCounts(calls=products // PRODUCTS_PER_CALL + products % PRODUCTS_PER_CALL)


def summand_kernels(level: int, degree: int, form: Form, parts: int = 2, switching: Switching = PLAIN) -> KernelCounts:
    """Kernels that add a value to a sum. form: how the value enters the sum."""
    residues = parts * (level + switching.specials * (form is Form.EXTENDED)) * degree
    return KernelCounts(additions=residues * (2 if form is Form.LIFTED else 1), calls=1)


def lone_operation_kernels(kind: Kind, level: int, degree: int, switching: Switching = PLAIN) -> KernelCounts:
    """Kernels of one operation that shares no work with others. The search prices drafts by it."""
    if kind in SWITCHES:
        switch = switch_kernels(level, degree, switching=switching)
        return digits_kernels(level, degree, switching) + switch + division_kernels(level, degree, 2, switching)
    return _at_hand_kernels(kind, level, degree, 2)


def _at_hand_kernels(kind: Kind, level: int, degree: int, parts: int) -> KernelCounts:
    """Kernels of an operation without a key switch."""
    if kind is Kind.RESCALE:
        return _call(parts * level, degree, 4 * parts * (level - 1) * degree)
    if kind is Kind.SQUARE:
        return _call(0, degree, 8 * level * degree)
    if kind is Kind.MULTIPLY:
        return _call(0, degree, 10 * level * degree)
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
    degree, switching = plan.params.poly_modulus_degree, Switching.of(plan.params)
    result: list[tuple[int, KernelCounts]] = []
    extended: set[int] = set()
    taken_apart: set[int] = set()
    for step in steps.steps:
        op = plan.ops[step.result - plan.inputs]
        if isinstance(step, Apply):
            level = plan.working_level(op)
            joint = joint_division_kernels(level, degree, switching)
            result.append((step.result, joint if step.joined else _at_hand_kernels(op.kind, level, degree, op.parts)))
            continue
        for call in step.calls:
            for place, term in enumerate(call):
                if isinstance(term, Turn) and term.source not in taken_apart:
                    taken_apart.add(term.source)
                    result.append((term.op, digits_kernels(op.level, degree, switching)))
                    if term.source in extended:
                        result.append((term.op, division_kernels(op.level, degree, 1, switching)))
                own = _term_kernels(term, op, switching, degree, extended)
                result.append((term.op, replace(own, calls=int(place == 0))))
        if step.divided:
            result.append((step.result, division_kernels(op.level, degree, switching=switching)))
        elif step.extended:
            extended.add(step.result)
    return result


def _term_kernels(term: Term, op: Op, switching: Switching, degree: int, extended: set[int]) -> KernelCounts:
    """Kernels of one term of a sum without the digits of its source. op: that makes the sum. extended: values that are
    extended."""
    level, parts = op.level, op.parts
    match term:
        case Turn():
            relinearized = 2 * level if term.element is None else level
            carried = level + switching.specials if term.source in extended else relinearized
            return switch_kernels(level, degree, carried, switching)
        case Product():
            return product_kernels(level, degree, term.form is Form.EXTENDED, parts, switching)
        case Summand():
            return summand_kernels(level, degree, term.form, parts, switching)
        case Offset():
            return KernelCounts(additions=level * degree, calls=1)
