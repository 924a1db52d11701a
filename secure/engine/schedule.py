"""How the engine runs a plan: as sums, each added up in one total. Pure.

If the only reader of an operation's result is an addition, the operation becomes a term of that addition's sum. A sum
that contains key switches is "extended": it has rows modulo the special primes and still has to be divided by their
product P (Halevi and Shoup 2018; Bossuat and others 2021, "double hoisting"). When it is divided depends on what reads
it:

    rotations and conjugations : decompose the second part into digits, so only that part is divided; the first part is
                                 rotated as it is
    products with constants    : read extended values if that saves work for all products that share values or sums
    additions                  : take both forms; a value that is not extended is multiplied by P when it enters an
                                 extended sum (for a constant, when it is encoded)
    a rescale, if it is the only reader : divides by P and by its own prime at once
    all other operations       : read divided values, and then every other reader of the value does too

`secure.engine.program` runs a schedule, and `secure.kernels.engine` counts what it costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import chain
from math import log2

from secure.plan import MOVES, SWITCHES, Kind, Op, Plan, op_element

#: Operations that may be terms of a sum.
TERMS = (*SWITCHES, Kind.MULTIPLY_PLAIN, Kind.ADD, Kind.ADD_PLAIN)
#: Those of them that are additions.
ADDS = (Kind.ADD, Kind.ADD_PLAIN)

#: How many products one call adds. Reading and writing the total takes most of the time of a single product.
PRODUCTS_PER_CALL = 4


class Form(StrEnum):
    """How a term enters its sum.

    plain: residues modulo the data primes. extended: residues modulo the data primes and P. lifted: a plain term of an
    extended sum. It is multiplied by P, so that it is zero modulo P and has its own value after the division.
    """

    PLAIN = "plain"
    EXTENDED = "extended"
    LIFTED = "lifted"


@dataclass(frozen=True, slots=True)
class Turn:
    """A key switch of the value `source`: a rotation, a conjugation or a relinearization.

    element: the Galois element; None for a relinearization. op, in all terms: id of the value that the operation makes.
    """

    op: int
    source: int
    element: int | None


@dataclass(frozen=True, slots=True)
class Product:
    """The product of the value `source` with a constant. constant: index into Plan.constants."""

    op: int
    source: int
    constant: int
    form: Form


@dataclass(frozen=True, slots=True)
class Summand:
    """The value `source` itself."""

    op: int
    source: int
    form: Form


@dataclass(frozen=True, slots=True)
class Offset:
    """A constant that is added to the first part. constant: index into Plan.constants."""

    op: int
    constant: int
    form: Form


Term = Turn | Product | Summand | Offset


@dataclass(frozen=True, slots=True)
class Sum:
    """A value that is the sum of terms. result: its id.

    calls: the terms in the order in which they are added; terms that set all rows of the total come first. Four
    products of one form in a row are one call, every other term is a call of its own. extended: whether the total has
    a row modulo P. divided: whether the complete total is divided by P.
    """

    result: int
    calls: tuple[tuple[Term, ...], ...]
    extended: bool
    divided: bool

    @property
    def terms(self) -> Iterator[Term]:
        """All terms, in the order in which they are added."""
        return chain.from_iterable(self.calls)


@dataclass(frozen=True, slots=True)
class Apply:
    """A square, a product of two values, a rescale or a drop. sources: the values that it reads; two for a product.
    joined: whether it is the rescale of an extended value, which divides by P and by its own prime at once."""

    result: int
    sources: tuple[int, ...]
    joined: bool


@dataclass(frozen=True)
class Schedule:
    """steps: in the order of execution. reads: by value, how many terms and steps read it. turns: by value, how many
    key switches. constants: (index into Plan.constants, form) of all that sums need, in the order of first use."""

    steps: tuple[Sum | Apply, ...]
    reads: Counter[int]
    turns: Counter[int]
    constants: tuple[tuple[int, Form], ...]

    @cached_property
    def factors(self) -> frozenset[tuple[int, Form]]:
        """Those of the constants that values are multiplied with, and that are added nowhere."""
        terms = chain.from_iterable(step.terms for step in self.steps if isinstance(step, Sum))
        return frozenset(self.constants) - {(term.constant, term.form) for term in terms if isinstance(term, Offset)}


def division_passes(level: int, degree: int, parts: int, specials: int = 1) -> float:
    """Work of dividing `parts` parts of an extended value by the special primes, in products of one limb; a transform
    is log2(N)."""
    return parts * ((level + specials) * log2(degree) + 2 * level * specials)


#: Work that the row of a special prime adds to the product of two parts with a constant, in products of one limb.
EXTENDED_PRODUCT_PASSES = 2.0


def schedule(plan: Plan) -> Schedule:
    """The steps of a plan."""
    return _Scheduler(plan).schedule()


class _Scheduler:
    """Finds the readers of every value, then the terms of every sum, then the values that products read extended, and
    then the form of every term."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._specials = len(plan.params.special_primes)
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
        extended: set[int] = set()  # values that are extended when they are read
        for number, op in self._plan.numbered():
            if op.kind not in TERMS:
                steps.append(Apply(number, op.args, op.args[0] in extended))
            elif number in self._terms:
                step = self._sum(number, extended)
                steps.append(step)
                if step.extended and not step.divided:
                    extended.add(number)
        terms = [term for step in steps if isinstance(step, Sum) for term in step.terms]
        reads = Counter(term.source for term in terms if not isinstance(term, Offset))
        reads.update(source for step in steps if isinstance(step, Apply) for source in step.sources)
        constants = dict.fromkeys((term.constant, term.form) for term in terms if isinstance(term, Product | Offset))
        turns = Counter(term.source for term in terms if isinstance(term, Turn))
        return Schedule(tuple(steps), reads, turns, tuple(constants))

    def _op(self, value: int) -> Op:
        return self._plan.ops[value - self._plan.inputs]

    def _is_term(self, value: int) -> bool:
        """Whether a value is a term of the sum that reads it, so that it is never an array of its own."""
        if value < self._plan.inputs or value in self._outputs or self._op(value).kind not in TERMS:
            return False
        kinds = self._readers.get(value, ())
        return len(kinds) == 1 and kinds[0] in ADDS

    def _expanded(self, root: int) -> Iterator[Term]:
        """The terms of a sum from left to right, all in plain form. `_sum` sets their forms later."""
        stack: list[Term | int] = [root]  # what is still to come, the next on top; ids are not yet taken apart
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
        """Sums that are extended whatever is decided about products: they hold a key switch, or add such a sum."""
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
        """Values that products read extended, since that saves work. A sum with one extended product is extended
        itself, so the decision is made at once for all values and sums that products connect."""
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
            if saved > added + EXTENDED_PRODUCT_PASSES * self._specials * products:
                kept |= values
        return kept

    def _division_passes(self, value: int) -> float:
        """Work of dividing an extended value for its readers, in products of one limb. For a value that products read,
        this equals the work that is saved if they read it extended."""
        kinds = self._readers.get(value, ())
        level, degree = self._plan.level_of(value), self._plan.params.poly_modulus_degree
        if value in self._divided:
            parts = 2
        elif any(kind in MOVES for kind in kinds):
            parts = 1
        else:
            parts = 0 if all(kind in ADDS for kind in kinds) else 2
        return division_passes(level, degree, parts, self._specials)

    def _sum(self, root: int, extended: set[int]) -> Sum:
        """The sum with this id, its terms sorted and in their forms. extended: earlier values that are extended."""

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
    """The terms in calls: four products of one form in a row together, every other term alone."""
    place = 0
    while place < len(terms):
        four = tuple(terms[place : place + PRODUCTS_PER_CALL])
        forms = {term.form if isinstance(term, Product) else None for term in four}
        step = PRODUCTS_PER_CALL if len(four) == PRODUCTS_PER_CALL and len(forms) == 1 and None not in forms else 1
        yield four[:step]
        place += step


def _divides(kinds: list[Kind]) -> bool:
    """Whether one of these readers, products apart, needs the divided value. A rescale that reads it alone does not."""
    if kinds == [Kind.RESCALE]:
        return False
    return any(kind in kinds for kind in (Kind.SQUARE, Kind.MULTIPLY, Kind.RESCALE, Kind.DROP, Kind.RELINEARIZE))


def _tied(sums_of: dict[int, list[int]]) -> Iterator[tuple[set[int], set[int]]]:
    """(values, sums) of every connected component of the graph of values and the sums that read them."""
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
