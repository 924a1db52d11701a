"""A schedule as one program: a sequence of kernels on numbered arrays. Pure.

This file computes nothing and makes no array. It decides how large the workspace of a run is and where every array
lies in it. When an array has been read for the last time, its place is free for the next array of the same shape. That
place is then likely to be in the caches.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from secure.engine.schedule import Apply, Form, Offset, Product, Schedule, Sum, Summand, Term, Turn
from secure.params import Params
from secure.plan import Kind, Plan
from secure.seal.context import MAX_PARTS


class Kernel(IntEnum):
    """What an instruction does. The comments name its arrays, the result first.

    The flag of an instruction means, for kernels that add: set the total instead of adding to it; for those that
    divide: by P, the product of the special primes, instead of the last data prime.
    """

    ADD_SWITCHED = 0  # total, digits, key, source, factors, order, moduli
    ADD_PRODUCT = 1  # total, value, constant, moduli
    ADD_FOUR_PRODUCTS = 2  # total, four values, four constants, moduli
    ADD_VALUE = 3  # total, value, moduli
    ADD_SCALED = 4  # total, value, factors, moduli
    SQUARE = 5  # result, value, moduli
    TAKE_APART = 6  # digits, value
    DIVIDE = 7  # result, value
    DIVIDE_LAST_PART = 8  # result, value
    DIVIDE_JOINTLY = 9  # result, value
    DROP = 10  # result, value
    MULTIPLY = 11  # result, two values, moduli


#: The most arrays of an instruction.
MAX_ARRAYS = 10


class Origin(StrEnum):
    """What an array belongs to. The comments say what `Place.which` is for arrays of this origin."""

    WORKSPACE = "workspace"  # of a run; how many residues of the workspace lie before the array
    INPUT = "input"  # of the request; the number of the input
    CONSTANT = "constant"  # of the plan; (index into Plan.constants, form)
    KEY = "key"  # of the client; the Galois element, None for the relinearization key; parts: its digits
    ORDER = "order"  # of the ring, as all below; the Galois element, None for a relinearization
    MODULI = "moduli"  # (level, whether there are rows for the special primes)
    FACTORS = "factors"  # True for ones, False for P modulo each prime


@dataclass(frozen=True, slots=True)
class Place:
    """An array of a program.

    parts, rows: its first dimensions. Ciphertexts are (parts, rows, N), keys (parts, 2, rows, N), constants (rows, N),
    moduli (rows, 2). The shapes of orders and factors follow from the ring, and parts and rows mean nothing there.
    """

    origin: Origin
    which: Any
    parts: int = 1
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Instruction:
    """One call of a kernel. arrays: indices into Program.places. value: id of the plan's value that it works for.

    together: how many instructions from this one on form a run: none waits for another one, so they may be executed
    row by row (`secure.engine.gathering`).
    """

    kernel: Kernel
    arrays: tuple[int, ...]
    value: int
    flag: bool = False
    together: int = 1


@dataclass(frozen=True)
class Program:
    """A program: instructions in order, and the places that they name.

    workspace: the size of a run's workspace in residues. scratch_rows: how many rows of N residues at its start are
    scratch for kernels. outputs: indices into places, one per output of the plan.
    """

    instructions: tuple[Instruction, ...]
    places: tuple[Place, ...]
    workspace: int
    scratch_rows: int
    outputs: tuple[int, ...]


def scratch_rows(params: Params, threads: int) -> int:
    """Rows of scratch that are enough for every kernel.

    Digits need one row per level and one per thread; divisions need one per part and two per thread, or four per
    thread if they divide by two primes at once. Hybrid ones need one per part and prime that they divide by.
    """
    needed = max(params.levels + threads, MAX_PARTS + 2 * threads, 4 * threads)
    hybrid = 2 * (len(params.special_primes) + 1) + 2 * threads
    return max(needed, hybrid) if params.is_hybrid else needed


def assemble(plan: Plan, schedule: Schedule, threads: int, *, reuse: bool = True) -> Program:
    """The program of a plan for this many threads per request.

    reuse: whether an array takes the place of one of its shape that is not needed any more. Without, each has a place
    of its own, as `secure.engine.placing` takes them.
    """
    return _Assembler(plan, schedule, threads, reuse).program()


@dataclass(eq=False)
class _Value:
    """A ciphertext. extended: whether it still has to be divided by P. digits: the place of the digits of its last
    part, from its first key switch to its last."""

    place: int
    extended: bool = False
    digits: int | None = None


class _Assembler:
    """Goes through the schedule once. Arrays are known by their index into the places.

    _reads, _turns: by value, how often it is still to be read and key-switched. _current: the value that instructions
    work for. _held: inputs and outputs, whose places are never reused.
    """

    def __init__(self, plan: Plan, schedule: Schedule, threads: int, reuse: bool) -> None:
        self._plan, self._schedule, self._reuse = plan, schedule, reuse
        self._degree = plan.params.poly_modulus_degree
        self._numbers: dict[Place, int] = {}
        self._places: list[Place] = []
        self._free: dict[tuple[int, int], list[int]] = {}
        self._specials = len(plan.params.special_primes)
        self._keys = dict(zip(plan.key_manifest.galois_elements, plan.key_manifest.galois_levels, strict=True))
        self._scratch_rows = scratch_rows(plan.params, threads)
        self._workspace = self._scratch_rows * self._degree
        self._instructions: list[Instruction] = []
        self._current = 0
        self._values = {
            number: _Value(self._number(Origin.INPUT, number, 2, plan.input_level)) for number in range(plan.inputs)
        }
        self._reads, self._turns = schedule.reads.copy(), schedule.turns.copy()
        self._held = frozenset(range(plan.inputs)) | frozenset(plan.outputs)

    def program(self) -> Program:
        """The program of the whole schedule. May be called once."""
        for step in self._schedule.steps:
            self._current = step.result
            self._values[step.result] = self._sum(step) if isinstance(step, Sum) else self._applied(step)
        outputs = tuple(self._values[output].place for output in self._plan.outputs)
        return Program(tuple(self._instructions), tuple(self._places), self._workspace, self._scratch_rows, outputs)

    def _sum(self, step: Sum) -> _Value:
        """Emit the calls of a sum and its division, if it has one."""
        level = self._plan.level_of(step.result)
        moduli = self._moduli(level, step.extended)
        total = self._take(self._plan.parts_of(step.result), level + self._specials * step.extended)
        fresh = True
        for terms in step.calls:
            self._add(terms, total, fresh, moduli)
            for term in terms:
                if not isinstance(term, Offset):
                    self._was_read(term.source)
            fresh = False
        if not step.divided:
            return _Value(total, step.extended)
        quotient = self._divided(total, Kernel.DIVIDE)
        self._give(total)
        return _Value(quotient)

    def _add(self, terms: tuple[Term, ...], total: int, fresh: bool, moduli: int) -> None:
        """Emit the call that adds these terms to their sum."""
        match terms:
            case (Turn() as turn,):
                self._add_switched(total, fresh, turn)
            case (Offset(constant=constant, form=form),):
                self._emit(Kernel.ADD_VALUE, total, self._constant(constant, form), moduli, flag=fresh)
            case (Summand(source=source, form=Form.LIFTED),):
                factors = self._number(Origin.FACTORS, False)
                self._emit(Kernel.ADD_SCALED, total, self._values[source].place, factors, moduli)
            case (Summand(source=source),):
                self._emit(Kernel.ADD_VALUE, total, self._values[source].place, moduli, flag=fresh)
            case _:
                products = [term for term in terms if isinstance(term, Product)]
                values = [self._values[product.source].place for product in products]
                constants = [self._constant(product.constant, product.form) for product in products]
                kernel = Kernel.ADD_PRODUCT if len(products) == 1 else Kernel.ADD_FOUR_PRODUCTS
                self._emit(kernel, total, *values, *constants, moduli, flag=fresh)

    def _add_switched(self, total: int, fresh: bool, turn: Turn) -> None:
        """Emit the key switch of a value's last part. Its other parts are rotated without a key."""
        source = self._values[turn.source]
        level = self._plan.level_of(self._current)
        if source.digits is None:
            source.digits = self._digits(source, level)
        # The sum needs P times the first part. An extended source holds just that: dividing it first would cost
        # transforms and add a rounding error.
        factors = self._number(Origin.FACTORS, source.extended)
        key, order = self._key(turn.element), self._number(Origin.ORDER, turn.element)
        moduli = self._moduli(level, True)
        self._emit(Kernel.ADD_SWITCHED, total, source.digits, key, source.place, factors, order, moduli, flag=fresh)
        self._turns[turn.source] -= 1
        if not self._turns[turn.source]:
            self._give(source.digits)
            source.digits = None

    def _digits(self, source: _Value, level: int) -> int:
        """Emit the digits of a value's last part, which is divided by P first if the value is extended."""
        digits = self._take(len(self._plan.params.digits_at(level)), level + self._specials)
        if not source.extended:
            self._emit(Kernel.TAKE_APART, digits, source.place)
            return digits
        last = self._divided(source.place, Kernel.DIVIDE_LAST_PART, parts=1)
        self._emit(Kernel.TAKE_APART, digits, last)
        self._give(last)
        return digits

    def _divided(self, value: int, kernel: Kernel, *, parts: int | None = None, special: bool = True) -> int:
        """Emit a division by P (special), or by the last data prime. Returns the place of the quotient.

        parts: how many parts the quotient has; by default all of the value's.
        """
        shape = self._shape(value)
        result = self._take(parts or shape[0], shape[1] - (self._specials if special else 1))
        self._emit(kernel, result, value, flag=special)
        return result

    def _applied(self, step: Apply) -> _Value:
        """Emit a square, a product of two values, a rescale or a drop."""
        source = self._values[step.sources[0]].place
        parts, rows = self._shape(source)
        kind = self._plan.ops[step.result - self._plan.inputs].kind
        if kind is Kind.SQUARE:
            result = self._take(3, rows)
            self._emit(Kernel.SQUARE, result, source, self._moduli(rows, False))
        elif kind is Kind.MULTIPLY:
            result, other = self._take(3, rows), self._values[step.sources[1]].place
            self._emit(Kernel.MULTIPLY, result, source, other, self._moduli(rows, False))
        elif kind is Kind.RESCALE and step.joined:
            result = self._take(parts, rows - 1 - self._specials)
            self._emit(Kernel.DIVIDE_JOINTLY, result, source, flag=True)
        elif kind is Kind.RESCALE:
            result = self._divided(source, Kernel.DIVIDE, special=False)
        else:
            result = self._take(parts, rows - 1)
            self._emit(Kernel.DROP, result, source)
        for read in step.sources:
            self._was_read(read)
        return _Value(result)

    def _emit(self, kernel: Kernel, *arrays: int, flag: bool = False) -> None:
        self._instructions.append(Instruction(kernel, arrays, self._current, flag))

    def _was_read(self, value: int) -> None:
        """Count one reading of a value; after its last one the place is free."""
        self._reads[value] -= 1
        if not self._reads[value] and value not in self._held:
            self._give(self._values.pop(value).place)

    def _take(self, parts: int, rows: int) -> int:
        """A place of this shape in the workspace, a free one if there is one. Its content is undefined."""
        free = self._free.get((parts, rows))
        if free and self._reuse:
            return free.pop()
        start, self._workspace = self._workspace, self._workspace + parts * rows * self._degree
        return self._number(Origin.WORKSPACE, start, parts, rows)

    def _give(self, place: int) -> None:
        """Free a place for the next array of its shape."""
        self._free.setdefault(self._shape(place), []).append(place)

    def _shape(self, place: int) -> tuple[int, int]:
        return self._places[place].parts, self._places[place].rows

    def _constant(self, index: int, form: Form) -> int:
        rows = self._plan.constants[index].level + self._specials * (form is Form.EXTENDED)
        return self._number(Origin.CONSTANT, (index, form), 1, rows)

    def _moduli(self, level: int, extended: bool) -> int:
        return self._number(Origin.MODULI, (level, extended), 1, level + self._specials * extended)

    def _key(self, element: int | None) -> int:
        """The place of a key, which is cut to the highest level at which the plan uses it."""
        level = self._plan.key_manifest.relin_level if element is None else self._keys[element]
        return self._number(Origin.KEY, element, len(self._plan.params.digits_at(level)), level + self._specials)

    def _number(self, origin: Origin, which: Hashable, parts: int = 1, rows: int = 1) -> int:
        """The index of a place, which is added to the places if it is new."""
        place = Place(origin, which, parts, rows)
        if place not in self._numbers:
            self._numbers[place] = len(self._places)
            self._places.append(place)
        return self._numbers[place]
