"""A schedule as one program: a sequence of kernels on arrays that are known by number. Pure.

This file computes nothing and makes no array. It decides how large the workspace of a run is and where every array
lies in it. When an array was read for the last time, its place is free for the next array of that shape, which is then
likely to be in the caches.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from secure.engine.schedule import Apply, Form, Offset, Product, Schedule, Sum, Summand, Term, Turn
from secure.plan import Kind, Plan
from secure.seal.context import MAX_PARTS


class Kernel(IntEnum):
    """What an instruction does. The comments name its arrays, the result first.

    The flag of an instruction says: for kernels that add, that the total is set instead; for DIVIDE and
    DIVIDE_LAST_PART, that the special prime is divided by.
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


#: The most arrays of an instruction.
MAX_ARRAYS = 10


class Origin(StrEnum):
    """What an array belongs to. The comments say what distinguishes arrays of one origin (`Place.which`)."""

    WORKSPACE = "workspace"  # of a run; how many residues lie before it
    INPUT = "input"  # of the request; its number
    CONSTANT = "constant"  # of the plan; (index, form)
    KEY = "key"  # of the client; Galois element, None for the relinearization key
    ORDER = "order"  # of the ring, as all that follow; Galois element, None for a relinearization
    MODULI = "moduli"  # (level, whether the row of P is there too)
    FACTORS = "factors"  # whether they are ones, or P modulo each prime


@dataclass(frozen=True, slots=True)
class Place:
    """An array of a program.

    parts, rows: its dimensions before N for residues of ciphertexts and constants; rows alone for moduli. They mean
    nothing for keys, orders and factors, whose shapes follow from the ring.
    """

    origin: Origin
    which: Any
    parts: int = 1
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Instruction:
    """One call of a kernel. arrays: numbers of places. value: the id of the plan's value that it works for."""

    kernel: Kernel
    arrays: tuple[int, ...]
    value: int
    flag: bool = False


@dataclass(frozen=True)
class Program:
    """A program: instructions in order, and the places that they name.

    workspace: residues in the workspace of a run. scratch_rows: rows at its start that kernels use as scratch.
    outputs: the places of the outputs.
    """

    instructions: tuple[Instruction, ...]
    places: tuple[Place, ...]
    workspace: int
    scratch_rows: int
    outputs: tuple[int, ...]


def scratch_rows(levels: int, threads: int) -> int:
    """Rows of scratch that suffice for every kernel: digits need one per level and one per thread; divisions need the
    others."""
    return max(levels + threads, MAX_PARTS + 2 * threads, 4 * threads)


def assemble(plan: Plan, schedule: Schedule, threads: int) -> Program:
    """The program of a plan for this many threads per request."""
    return _Assembler(plan, schedule, threads).program()


@dataclass(eq=False)
class _Value:
    """A ciphertext in the workspace. extended: not yet divided by P. digits: the place of its last part's digits while
    they are needed."""

    place: int
    extended: bool = False
    digits: int | None = None


class _Assembler:
    """Goes through the schedule once. The places of inputs and outputs are never reused."""

    def __init__(self, plan: Plan, schedule: Schedule, threads: int) -> None:
        self._plan, self._schedule = plan, schedule
        self._degree = plan.params.poly_modulus_degree
        self._numbers: dict[Place, int] = {}
        self._places: list[Place] = []
        self._free: dict[tuple[int, int], list[int]] = {}
        self._scratch_rows = scratch_rows(plan.params.levels, threads)
        self._workspace = self._scratch_rows * self._degree
        self._instructions: list[Instruction] = []
        self._current = 0
        self._values = {
            number: _Value(self._number(Origin.INPUT, number, 2, plan.input_level)) for number in range(plan.inputs)
        }
        self._reads, self._turns = schedule.reads.copy(), schedule.turns.copy()
        self._held = frozenset(range(plan.inputs)) | frozenset(plan.outputs)

    def program(self) -> Program:
        for step in self._schedule.steps:
            self._current = step.result
            self._values[step.result] = self._sum(step) if isinstance(step, Sum) else self._applied(step)
        outputs = tuple(self._values[output].place for output in self._plan.outputs)
        return Program(tuple(self._instructions), tuple(self._places), self._workspace, self._scratch_rows, outputs)

    def _sum(self, step: Sum) -> _Value:
        level = self._plan.level_of(step.result)
        moduli = self._moduli(level, step.extended)
        total = self._take(self._plan.parts_of(step.result), level + step.extended)
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
        """Emit the key switch of a value's last part; its other parts are rotated along."""
        source = self._values[turn.source]
        level = self._plan.level_of(self._current)
        if source.digits is None:
            source.digits = self._digits(source, level)
        # P times the first part is what an extended sum already holds: dividing it would cost transforms and add
        # rounding
        factors = self._number(Origin.FACTORS, source.extended)
        key, order = self._number(Origin.KEY, turn.element), self._number(Origin.ORDER, turn.element)
        moduli = self._moduli(level, True)
        self._emit(Kernel.ADD_SWITCHED, total, source.digits, key, source.place, factors, order, moduli, flag=fresh)
        self._turns[turn.source] -= 1
        if not self._turns[turn.source]:
            self._give(source.digits)
            source.digits = None

    def _digits(self, source: _Value, level: int) -> int:
        digits = self._take(level, level + 1)
        if not source.extended:
            self._emit(Kernel.TAKE_APART, digits, source.place)
            return digits
        last = self._divided(source.place, Kernel.DIVIDE_LAST_PART, parts=1)
        self._emit(Kernel.TAKE_APART, digits, last)
        self._give(last)
        return digits

    def _divided(self, value: int, kernel: Kernel, *, parts: int | None = None, special: bool = True) -> int:
        """The place of the quotient of a value, or of one part of it, by P or by its last data prime."""
        shape = self._shape(value)
        result = self._take(parts or shape[0], shape[1] - 1)
        self._emit(kernel, result, value, flag=special)
        return result

    def _applied(self, step: Apply) -> _Value:
        source = self._values[step.source].place
        parts, rows = self._shape(source)
        kind = self._plan.ops[step.result - self._plan.inputs].kind
        if kind is Kind.SQUARE:
            result = self._take(3, rows)
            self._emit(Kernel.SQUARE, result, source, self._moduli(rows, False))
        elif kind is Kind.RESCALE and step.joined:
            result = self._take(parts, rows - 2)
            self._emit(Kernel.DIVIDE_JOINTLY, result, source)
        elif kind is Kind.RESCALE:
            result = self._divided(source, Kernel.DIVIDE, special=False)
        else:
            result = self._take(parts, rows - 1)
            self._emit(Kernel.DROP, result, source)
        self._was_read(step.source)
        return _Value(result)

    def _emit(self, kernel: Kernel, *arrays: int, flag: bool = False) -> None:
        self._instructions.append(Instruction(kernel, arrays, self._current, flag))

    def _was_read(self, value: int) -> None:
        self._reads[value] -= 1
        if not self._reads[value] and value not in self._held:
            self._give(self._values.pop(value).place)

    def _take(self, parts: int, rows: int) -> int:
        """The place of an array in the workspace. Its content is undefined."""
        free = self._free.get((parts, rows))
        if free:
            return free.pop()
        start, self._workspace = self._workspace, self._workspace + parts * rows * self._degree
        return self._number(Origin.WORKSPACE, start, parts, rows)

    def _give(self, place: int) -> None:
        self._free.setdefault(self._shape(place), []).append(place)

    def _shape(self, place: int) -> tuple[int, int]:
        return self._places[place].parts, self._places[place].rows

    def _constant(self, index: int, form: Form) -> int:
        rows = self._plan.constants[index].level + (form is Form.EXTENDED)
        return self._number(Origin.CONSTANT, (index, form), 1, rows)

    def _moduli(self, level: int, extended: bool) -> int:
        return self._number(Origin.MODULI, (level, extended), 1, level + extended)

    def _number(self, origin: Origin, which: Hashable, parts: int = 1, rows: int = 1) -> int:
        place = Place(origin, which, parts, rows)
        if place not in self._numbers:
            self._numbers[place] = len(self._places)
            self._places.append(place)
        return self._numbers[place]
