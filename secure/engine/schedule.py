"""How the engine runs a plan: as sums, each made in one running total. Pure; both `secure.engine` and `secure.kernels.engine` follow it.

Operations whose result only one addition reads are terms of that addition's sum. A sum of switched values stays to be divided by the
special prime P ("extended", Halevi and Shoup 2018; Bossuat and others 2021, "double hoisting") until a reader needs it divided:

    rotations and conjugations : take apart the second part, so only that one is divided; the first is carried as it is
    products with constants    : multiply extended values where that is less work for all products that share values or sums
    additions                  : take both forms; what was never extended enters an extended sum times P, which is a constant's affair
    a rescale that alone reads : divides by P and its own prime at once
    everything else            : reads divided values, and so does every other reader of the same value
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from math import log2

from secure.plan import MOVES, SWITCHES, Kind, Op, Plan, op_element

#: Operations that may be terms of a sum, and those that add.
TERMS = (*SWITCHES, Kind.MULTIPLY_PLAIN, Kind.ADD, Kind.ADD_PLAIN)
ADDS = (Kind.ADD, Kind.ADD_PLAIN)


#: Products that are added in one call: most of what one costs is its total, read and written again.
PRODUCTS_PER_CALL = 4


class Form(StrEnum):
    """How a term enters its sum: residues modulo the data primes; those and modulo P; or the former times P, nought modulo P."""

    PLAIN = "plain"
    EXTENDED = "extended"
    LIFTED = "lifted"


@dataclass(frozen=True, slots=True)
class Turn:
    """A key switch of `source`. element: of the automorphism, None for a relinearization. op: the value that the operation makes."""

    op: int
    source: int
    element: int | None


@dataclass(frozen=True, slots=True)
class Product:
    """`source` times a constant."""

    op: int
    source: int
    constant: int
    form: Form


@dataclass(frozen=True, slots=True)
class Summand:
    """`source` as it is."""

    op: int
    source: int
    form: Form


@dataclass(frozen=True, slots=True)
class Offset:
    """A constant, added to the first part."""

    op: int
    constant: int
    form: Form


Term = Turn | Product | Summand | Offset


@dataclass(frozen=True, slots=True)
class Sum:
    """A value made of terms, those that cover the whole total first. calls: the terms, one by one but for four products of one form in a
    row, which are added at once. extended: the total is; divided: by P, when it is complete."""

    result: int
    calls: tuple[tuple[Term, ...], ...]
    extended: bool
    divided: bool

    @property
    def terms(self) -> Iterator[Term]:
        return chain.from_iterable(self.calls)


@dataclass(frozen=True, slots=True)
class Apply:
    """A square, a rescale or a drop. joined: a rescale of an extended value, divided by both primes at once."""

    result: int
    source: int
    joined: bool


@dataclass(frozen=True)
class Schedule:
    """Steps in order; how often each value is read and taken apart; the constants in the forms that they are wanted in."""

    steps: tuple[Sum | Apply, ...]
    reads: Counter[int]
    turns: Counter[int]
    constants: tuple[tuple[int, Form], ...]


def division_passes(level: int, degree: int, parts: int) -> float:
    """Work of dividing so many parts of an extended value by P, in products of one limb (a transform is about log2 N of them)."""
    return parts * ((level + 1) * log2(degree) + 2 * level)


#: What the row of P adds to a product of two parts with a constant, in the same unit.
EXTENDED_PRODUCT_PASSES = 2.0


def schedule(plan: Plan) -> Schedule:
    """The steps of a plan."""
    return _Scheduler(plan).schedule()


class _Scheduler:
    """Readers, then terms, then which values stay extended, then forms."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._readers: dict[int, list[Kind]] = {}
        for op in plan.ops:
            for arg in op.args:
                self._readers.setdefault(arg, []).append(op.kind)
        self._outputs = frozenset(plan.outputs)
        self._multiplied = {value for value, kinds in self._readers.items() if Kind.MULTIPLY_PLAIN in kinds}
        self._divided = self._outputs | {value for value, kinds in self._readers.items() if _divides(kinds)}
        self._terms = {
            number: tuple(self._expanded(number))
            for number, op in plan.numbered()
            if op.kind in TERMS and not self._is_term(number)
        }
        self._kept = self._kept_extended()

    def schedule(self) -> Schedule:
        steps: list[Sum | Apply] = []
        extended: set[int] = set()  # when read
        for number, op in self._plan.numbered():
            if op.kind not in TERMS:
                steps.append(Apply(number, op.args[0], op.args[0] in extended))
            elif number in self._terms:
                step = self._sum(number, extended)
                steps.append(step)
                if step.extended and not step.divided:
                    extended.add(number)
        terms = [term for step in steps if isinstance(step, Sum) for term in step.terms]
        reads = Counter(term.source for term in terms if not isinstance(term, Offset))
        reads.update(step.source for step in steps if isinstance(step, Apply))
        constants = dict.fromkeys((term.constant, term.form) for term in terms if isinstance(term, Product | Offset))
        turns = Counter(term.source for term in terms if isinstance(term, Turn))
        return Schedule(tuple(steps), reads, turns, tuple(constants))

    def _op(self, value: int) -> Op:
        return self._plan.ops[value - self._plan.inputs]

    def _is_term(self, value: int) -> bool:
        """Whether a value is made inside the sum that reads it."""
        if value < self._plan.inputs or value in self._outputs or self._op(value).kind not in TERMS:
            return False
        kinds = self._readers.get(value, ())
        return len(kinds) == 1 and kinds[0] in ADDS

    def _expanded(self, root: int) -> Iterator[Term]:
        """A sum's terms from left to right, all plain."""
        stack: list[Term | int] = [root]
        while stack:
            top = stack.pop()
            if not isinstance(top, int):
                yield top
                continue
            op = self._op(top)
            if op.kind in ADDS:
                if op.kind is Kind.ADD_PLAIN:
                    stack.append(Offset(top, op.constant, Form.PLAIN))
                for arg in reversed(op.args):
                    stack.append(arg if self._is_term(arg) else Summand(top, arg, Form.PLAIN))
            elif op.kind is Kind.MULTIPLY_PLAIN:
                yield Product(top, op.args[0], op.constant, Form.PLAIN)
            else:
                moves = op.kind in MOVES
                element = op_element(op, self._plan.params.poly_modulus_degree) if moves else None
                yield Turn(top, op.args[0], element)

    def _switched(self) -> set[int]:
        """Sums that hold switched values whatever is decided about products."""
        result: set[int] = set()
        for root, terms in self._terms.items():
            for term in terms:
                if isinstance(term, Turn) or (
                    isinstance(term, Summand)
                    and term.source in result
                    and term.source not in self._divided
                    and term.source not in self._multiplied
                ):
                    result.add(root)
                    break
        return result

    def _kept_extended(self) -> set[int]:
        """Values that products read extended: decided at once for all values and sums that products tie together."""
        switched = self._switched()
        candidates = switched - self._divided
        sums_of: dict[int, list[int]] = {}
        for root, terms in self._terms.items():
            for term in terms:
                if isinstance(term, Product) and term.source in candidates:
                    sums_of.setdefault(term.source, []).append(root)
        kept: set[int] = set()
        for values, sums in _tied(sums_of):
            products = sum(len(sums_of[value]) for value in values)
            saved = sum(self._division_passes(value) for value in values)
            added = sum(self._division_passes(root) for root in sums if root not in switched)
            if saved > added + EXTENDED_PRODUCT_PASSES * products:
                kept |= values
        return kept

    def _division_passes(self, value: int) -> float:
        """Work of dividing an extended value for its readers; of one that products read, what they save by taking it extended."""
        kinds = self._readers.get(value, ())
        level, degree = self._plan.level_of(value), self._plan.params.poly_modulus_degree
        if value in self._divided:
            return division_passes(level, degree, 2)
        if any(kind in MOVES for kind in kinds):
            return division_passes(level, degree, 1)
        return division_passes(level, degree, 0 if all(kind in ADDS for kind in kinds) else 2)

    def _sum(self, root: int, extended: set[int]) -> Sum:
        def is_extended(term: Term) -> bool:
            match term:
                case Turn():
                    return True
                case Product():
                    return term.source in self._kept
                case Summand():
                    return term.source in extended
                case Offset():
                    return False

        terms = self._terms[root]
        makes_extended = any(is_extended(term) for term in terms)

        def form(term: Term) -> Form:
            return Form.EXTENDED if is_extended(term) else Form.LIFTED if makes_extended else Form.PLAIN

        def order(term: Term) -> tuple[bool, int]:
            return not is_extended(term), (Turn, Summand, Product, Offset).index(type(term))

        formed: list[Term] = []
        for term in sorted(terms, key=order):
            match term:
                case Turn():
                    formed.append(term)
                case Product():
                    formed.append(Product(term.op, term.source, term.constant, form(term)))
                case Summand():
                    formed.append(Summand(term.op, term.source, form(term)))
                case Offset():
                    formed.append(Offset(term.op, term.constant, form(term)))
        multiplied = root in self._multiplied and root not in self._kept
        divided = makes_extended and (root in self._divided or multiplied)
        return Sum(root, tuple(_in_fours(formed)), makes_extended, divided)


def _in_fours(terms: Sequence[Term]) -> Iterator[tuple[Term, ...]]:
    place = 0
    while place < len(terms):
        four = tuple(terms[place : place + PRODUCTS_PER_CALL])
        forms = {term.form if isinstance(term, Product) else None for term in four}
        step = PRODUCTS_PER_CALL if len(four) == PRODUCTS_PER_CALL and len(forms) == 1 and None not in forms else 1
        yield four[:step]
        place += step


def _divides(kinds: list[Kind]) -> bool:
    """Whether a reader other than a product takes divided values only; a rescale that is alone does not."""
    if kinds == [Kind.RESCALE]:
        return False
    return any(kind in kinds for kind in (Kind.SQUARE, Kind.RESCALE, Kind.DROP, Kind.RELINEARIZE))


def _tied(sums_of: dict[int, list[int]]) -> Iterator[tuple[set[int], set[int]]]:
    """(values, sums) of every connected piece of the graph of values and the sums that read them."""
    values_of: dict[int, list[int]] = {}
    for value, sums in sums_of.items():
        for root in sums:
            values_of.setdefault(root, []).append(value)
    seen: set[int] = set()
    for start in sums_of:
        if start in seen:
            continue
        values, sums_found, waiting = {start}, set[int](), [start]
        while waiting:
            for root in sums_of[waiting.pop()]:
                if root not in sums_found:
                    sums_found.add(root)
                    new = set(values_of[root]) - values
                    values |= new
                    waiting += new
        seen |= values
        yield values, sums_found
