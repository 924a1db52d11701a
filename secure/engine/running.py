"""One pass over a plan's schedule: the values at hand, each made in an array that goes back when it has been read for the last time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.errors import BackendError
from secure.engine import arithmetic, base_change
from secure.engine.buffers import Buffers
from secure.engine.constants import EngineConstants
from secure.engine.ring import EngineKeys, EngineRing
from secure.engine.team import Team
from secure.engine_schedule import Apply, Form, Offset, Product, Schedule, Sum, Summand, Term, Turn
from secure.plan import Kind, Plan
from secure.seal_context import MAX_PARTS

Array = NDArray[np.float64]


@dataclass(eq=False)
class Residues:
    """A ciphertext in the engine: rows (parts, level, N); or (2, level + 1, N), extended and still to be divided by P.

    digits: of part 1, while a rotation still wants them.
    """

    rows: Array
    extended: bool = False
    digits: Array | None = None


@dataclass(frozen=True, eq=False)
class Resources:
    """What all passes of one plan under one client's keys share. The team is the server's: one pass at a time has it."""

    plan: Plan
    schedule: Schedule
    ring: EngineRing
    constants: EngineConstants
    buffers: Buffers
    keys: EngineKeys
    team: Team


class Run:
    """The state of one pass. Inputs are the caller's: they are read, and never given back as arrays to use again.

    team: the address of the team that is gathered for it. All kernels of a pass have the same scratch, which so stays in the caches.
    """

    def __init__(self, resources: Resources, inputs: Sequence[Residues], team: int) -> None:
        self._r, self._ring, self._t = resources, resources.ring, resources.ring.tables
        self._team = team
        self._take, self._give = resources.buffers.take, resources.buffers.give
        self._degree = resources.ring.degree
        self._scratch = self._take(scratch_rows(resources.plan.params.levels, resources.team.threads), self._degree)
        self._values = dict(enumerate(inputs))
        self._reads, self._turns = resources.schedule.reads.copy(), resources.schedule.turns.copy()
        self._held = frozenset(range(len(inputs))) | frozenset(resources.plan.outputs)

    def outputs(self) -> list[Residues]:
        """The plan's outputs.

        Raises: BackendError naming layer and operation.
        """
        plan = self._r.plan
        for step in self._r.schedule.steps:
            op = plan.ops[step.result - plan.inputs]
            try:
                self._values[step.result] = self._sum(step) if isinstance(step, Sum) else self._applied(step)
            except (RuntimeError, ValueError, IndexError, KeyError, MemoryError) as error:
                raise BackendError(f"layer '{op.layer}': {op.kind} to level {op.level}: {error}") from error
        results = [Residues(self._values[output].rows.copy()) for output in plan.outputs]
        for output in set(plan.outputs) - set(range(plan.inputs)):
            self._give(self._values.pop(output).rows)
        self._give(self._scratch)
        return results

    def _sum(self, step: Sum) -> Residues:
        op = self._r.plan.ops[step.result - self._r.plan.inputs]
        moduli = self._ring.moduli(op.level, step.extended)
        total = self._take(op.parts, op.level + step.extended, self._degree)
        fresh = True
        for terms in step.calls:
            self._add(terms, total, fresh, moduli)
            for term in terms:
                if not isinstance(term, Offset):
                    self._was_read(term.source)
            fresh = False
        if not step.divided:
            return Residues(total, step.extended)
        quotient = self._divided(total)
        self._give(total)
        return quotient

    def _add(self, terms: tuple[Term, ...], total: Array, fresh: bool, moduli: Array) -> None:
        """One call's terms to their sum."""
        term = terms[0]
        if len(terms) > 1:
            v0, v1, v2, v3 = (self._values[product.source].rows for product in terms if isinstance(product, Product))
            c0, c1, c2, c3 = (self._constant(product) for product in terms)
            arithmetic.add_four_products(self._team, total, fresh, v0, v1, v2, v3, c0, c1, c2, c3, moduli)
        elif isinstance(term, Product):
            rows = self._values[term.source].rows
            arithmetic.add_product(self._team, total, fresh, rows, self._constant(term), moduli)
        elif isinstance(term, Turn):
            self._add_switched(total, fresh, term)
        elif isinstance(term, Offset):
            arithmetic.add_value(self._team, total, fresh, self._constant(term)[None], moduli)
        elif isinstance(term, Summand) and term.form is Form.LIFTED:
            arithmetic.add_scaled(self._team, total, self._values[term.source].rows, self._t.special, moduli)
        elif isinstance(term, Summand):
            arithmetic.add_value(self._team, total, fresh, self._values[term.source].rows, moduli)

    def _constant(self, term: Term) -> Array:
        assert isinstance(term, Product | Offset)  # others have none
        return self._r.constants.get(term.constant, term.form)

    def _add_switched(self, total: Array, fresh: bool, turn: Turn) -> None:
        """The key switch of a value's last part, and what is carried along of the others."""
        source, ring, keys = self._values[turn.source], self._ring, self._r.keys
        level = total.shape[1] - 1
        if source.digits is None:
            source.digits = self._take(level, level + 1, self._degree)
            self._take_apart(source, source.digits)
        if turn.element is None:
            assert keys.relin is not None  # the plan's manifest asked for it
            key, order = keys.relin, ring.unmoved
        else:
            key, order = keys.galois[turn.element], ring.rotation(turn.element)
        # P times the first part is what an extended sum already holds: dividing it would cost transforms and add rounding
        factors = ring.ones if source.extended else self._t.special
        moduli = ring.moduli(level, True)
        arithmetic.add_switched(
            self._team, total, fresh, source.digits, key, source.rows[:-1], factors, order, moduli, self._scratch
        )
        self._turns[turn.source] -= 1
        if not self._turns[turn.source]:
            self._give(source.digits)
            source.digits = None

    def _take_apart(self, source: Residues, digits: Array) -> None:
        last = source.rows[-1]
        if source.extended:
            last = self._divided(source.rows[-1:]).rows[0]
        base_change.digits_of(self._team, last, digits, self._scratch, self._t)
        if source.extended:
            self._give(last[None])

    def _divided(self, extended: Array, special: bool = True) -> Residues:
        """Parts divided by P, or by their last data prime."""
        parts, rows, degree = extended.shape
        result = self._take(parts, rows - 1, degree)
        base_change.divide(self._team, extended, special, result, self._scratch, self._t)
        return Residues(result)

    def _applied(self, step: Apply) -> Residues:
        source = self._values[step.source].rows
        kind = self._r.plan.ops[step.result - self._r.plan.inputs].kind
        if kind is Kind.SQUARE:
            result = Residues(self._take(3, *source.shape[1:]))
            arithmetic.square(self._team, source, result.rows, self._ring.moduli(source.shape[1], False))
        elif kind is Kind.RESCALE and step.joined:
            result = Residues(self._take(2, source.shape[1] - 2, self._degree))
            base_change.divide_jointly(self._team, source, result.rows, self._scratch, self._t)
        elif kind is Kind.RESCALE:
            result = self._divided(source, special=False)
        else:
            result = Residues(self._take(len(source), source.shape[1] - 1, self._degree))
            result.rows[:] = source[:, :-1]
        self._was_read(step.source)
        return result

    def _was_read(self, value: int) -> None:
        self._reads[value] -= 1
        if not self._reads[value] and value not in self._held:
            self._give(self._values.pop(value).rows)


def scratch_rows(levels: int, threads: int) -> int:
    """Rows of scratch that are enough for every kernel: digits need one a level and one a thread, divisions the others."""
    return max(levels + threads, MAX_PARTS + 2 * threads, 4 * threads)
