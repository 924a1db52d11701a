"""Where the arrays of a large program lie in its workspace: as low as those that are in use with them allow. Pure.

Arrays of other shapes may take the same bytes one after the other, so the workspace of a deep network is about as large
as what one layer needs. (Greedy by size: the largest array first, each at the lowest free offset; Pisarchyk and Lee,
"Efficient memory management for deep neural net inference", 2020.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from secure.engine.gathering import gathered
from secure.engine.program import Origin, Place, Program, assemble
from secure.engine.schedule import Schedule
from secure.plan import Plan
from secure.seal.context import RESIDUE_BYTES

#: Workspaces above this size are placed. Below, arrays of one shape follow each other in one place, in the caches.
LARGE_BYTES = 1 << 28


def program_of(plan: Plan, steps: Schedule, threads: int) -> Program:
    """The program of a plan, with a workspace that is as small as need be."""
    program = assemble(plan, steps, threads)
    if program.workspace * RESIDUE_BYTES <= LARGE_BYTES:
        return program
    degree = plan.params.poly_modulus_degree
    return placed(gathered(assemble(plan, steps, threads, reuse=False), degree, threads), degree)


def placed(program: Program, degree: int) -> Program:
    """The same program with a smaller workspace. Every array of `program` has a place in the workspace of its own."""
    lives = _lives(program)
    start = program.scratch_rows * degree
    offsets: dict[int, int] = {}
    taken: list[tuple[int, int, int, int]] = []  # offset, end, first, last; in ascending order of offsets
    for number in sorted(lives, key=lambda one: -_size(program.places[one], degree)):
        (first, last), size = lives[number], _size(program.places[number], degree)
        offset = start
        for other, end, begun, over in taken:
            if begun <= last and first <= over:
                if other - offset >= size:
                    break
                offset = max(offset, end)
        offsets[number] = offset
        taken.append((offset, offset + size, first, last))
        taken.sort()
    places = tuple(
        replace(place, which=offsets[number]) if number in offsets else place
        for number, place in enumerate(program.places)
    )
    ends = (offsets[number] + _size(places[number], degree) for number in offsets)
    return replace(program, places=places, workspace=max(ends, default=start))


def _lives(program: Program) -> dict[int, tuple[int, int]]:
    """By array of the workspace, the first and the last instruction that names it, or that runs together with such a
    one. Outputs live to the end."""
    result: dict[int, tuple[int, int]] = {}
    first = last = 0
    for step, instruction in enumerate(program.instructions):
        if step >= last:
            first, last = step, step + instruction.together
        for number in _workspace(instruction.arrays, program.places):
            result[number] = result.get(number, (first, first))[0], last - 1
    for number in _workspace(program.outputs, program.places):
        result[number] = result[number][0], len(program.instructions)
    return result


def _workspace(numbers: Sequence[int], places: Sequence[Place]) -> list[int]:
    return [number for number in numbers if places[number].origin is Origin.WORKSPACE]


def _size(place: Place, degree: int) -> int:
    return place.parts * place.rows * degree
