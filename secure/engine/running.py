"""A program under one client's keys: the addresses of all arrays, and runs of the program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import BackendError
from secure.engine.addresses import ADDRESS
from secure.engine.buffers import Workspaces
from secure.engine.constants import EngineConstants, Held
from secure.engine.execute import compile_ahead, encoded, execute
from secure.engine.program import Origin, Place, Program
from secure.engine.ring import EngineKeys, EngineRing
from secure.engine.team import Team
from secure.plan import Plan
from secure.seal.context import RESIDUE_BYTES

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Resources:
    """All that runs of one plan share, for all clients. The team belongs to the server; one request at a time uses
    it."""

    plan: Plan
    program: Program
    ring: EngineRing
    constants: EngineConstants
    workspaces: Workspaces
    team: Team


@dataclass(frozen=True)
class Stretch:
    """Instructions that run in one call, and the places of the constants that must be encoded before."""

    first: int
    end: int
    missing: tuple[int, ...]


class Runner:
    """A program prepared for one client. Concurrent requests may use it: each run writes to its own workspace only."""

    def __init__(self, resources: Resources, keys: EngineKeys) -> None:
        """Raises: BackendError for a key that is not there."""
        self._r, self._keys = resources, keys
        places = resources.program.places
        self._code = encoded(resources.program.instructions)
        self._stretches = tuple(self._stretched())
        self._standing = [self._array(place) for place in places]  # kept alive, since the table holds their addresses
        rows = zip(places, self._standing, strict=True)
        self._table = np.array([_table_row(place, held) for place, held in rows], dtype=np.int64)
        self._workspace = np.array([place.origin is Origin.WORKSPACE for place in places])
        self._inputs = {number: place.which for number, place in enumerate(places) if place.origin is Origin.INPUT}
        compile_ahead(resources.ring.degree, resources.ring.tables, resources.ring.bases)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The plan's outputs, as new arrays. Inputs (2, level, N) are only read.

        Raises: BackendError when memory is short, or naming the layer whose constant cannot be encoded.
        """
        program, workspaces = self._r.program, self._r.workspaces
        try:
            workspace = workspaces.take()
        except MemoryError as error:
            raise BackendError(
                f"a request needs {RESIDUE_BYTES * program.workspace:,} bytes of memory to work in"
            ) from error
        try:
            table = self._table.copy()
            table[self._workspace, ADDRESS] += workspace.ctypes.data
            for number, which in self._inputs.items():
                table[number, ADDRESS] = inputs[which].ctypes.data
            self._execute(table, workspace)
            return [self._output(program.places[number], workspace, inputs).copy() for number in program.outputs]
        finally:
            workspaces.give(workspace)

    def _execute(self, table: NDArray[np.int64], workspace: Array) -> None:
        degree, tables, bases = self._r.ring.degree, self._r.ring.tables, self._r.ring.bases
        scratch = workspace[: self._r.program.scratch_rows * degree].reshape(-1, degree)
        with self._r.team.gathered() as team:
            for stretch in self._stretches:
                held = [self._encoded(number, stretch.first) for number in stretch.missing]
                for number, rows in zip(stretch.missing, held, strict=True):
                    table[number, ADDRESS] = rows.ctypes.data
                execute(team, self._code, stretch.first, stretch.end, table, degree, scratch, tables, bases)

    def _encoded(self, number: int, instruction: int) -> Array:
        """Encode a constant that is not kept."""
        try:
            return self._r.constants.encoded(*self._r.program.places[number].which)
        except (RuntimeError, ValueError, MemoryError) as error:
            op = self._r.plan.ops[self._r.program.instructions[instruction].value - self._r.plan.inputs]
            raise BackendError(f"{op.kind} to level {op.level}: {error}", op.layer) from error

    def _output(self, place: Place, workspace: Array, inputs: Sequence[Array]) -> Array:
        if place.origin is Origin.INPUT:
            return inputs[place.which]
        shape = place.parts, place.rows, self._r.ring.degree
        return workspace[place.which : place.which + np.prod(shape)].reshape(shape)

    def _array(self, place: Place) -> NDArray[Any] | Held | None:
        """What exists before any request of a place; None for inputs and the workspace."""
        ring, which = self._r.ring, place.which
        match place.origin:
            case Origin.CONSTANT:
                return self._r.constants.kept(*which)
            case Origin.KEY:
                key = self._keys.relin if which is None else self._keys.galois.get(which)
                if key is None:
                    raise BackendError(f"evaluation key: element {which} is missing; make keys for this bundle")
                return key
            case Origin.ORDER:
                return ring.unmoved if which is None else ring.rotation(which)
            case Origin.MODULI:
                return ring.moduli(*which)
            case Origin.FACTORS:
                return ring.ones if which else ring.tables.special
        return None

    def _stretched(self) -> Iterator[Stretch]:
        """The program divided before every instruction that reads a constant which is not kept."""
        program, first = self._r.program, 0
        missing: tuple[int, ...] = ()
        for number, instruction in enumerate(program.instructions):
            places = ((array, program.places[array]) for array in instruction.arrays)
            lacking = tuple(
                array
                for array, place in places
                if place.origin is Origin.CONSTANT and self._r.constants.kept(*place.which) is None
            )
            if lacking:
                yield Stretch(first, number, missing)
                first, missing = number, lacking
        yield Stretch(first, len(program.instructions), missing)


def places_of(*arrays: NDArray[Any]) -> NDArray[np.int64]:
    """A table of places, (arrays, 3), of arrays that exist, for kernels that are called without a program."""
    return np.array([(one.ctypes.data, one.shape[0], one.shape[-2] if one.ndim > 1 else 1) for one in arrays])


def _table_row(place: Place, array: NDArray[Any] | Held | None) -> tuple[int, int, int]:
    """ADDRESS, PARTS and ROWS of a place. A constant has its storage in place of parts; one that is not kept is whole
    once it is encoded.

    The address of an array in the workspace is an offset in bytes. Inputs have address 0 until a request sets it.
    """
    if isinstance(array, Held):
        return array.array.ctypes.data, array.storage, place.rows
    if place.origin is Origin.WORKSPACE:
        return place.which * RESIDUE_BYTES, place.parts, place.rows
    return 0 if array is None else array.ctypes.data, place.parts, place.rows
