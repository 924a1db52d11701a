"""Which instructions of a large program run together, row by row of their arrays. Pure.

The giant steps of a layer each add up products of the same rotated values (the baby steps). One after the other, each
of them reads all rows of all these values from memory. Together, a row's values are read once, and meet all their
constants while they are in the caches. So products move up to the first products that their values are there for, if
the totals that then wait for the rest of their sums take no more than WAITING_BYTES. Key switches that follow each
other anyway run together too, and read the row of a digit once.

Instructions that run together read nothing that one of them writes. Only programs in which every array has a place of
its own are gathered; where arrays follow each other in one place, a total may lie where a value was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from secure.engine.program import Instruction, Kernel, Place, Program
from secure.seal.context import RESIDUE_BYTES

#: Kernels that add products with constants, and all whose flag says that they set their total.
PRODUCTS = (Kernel.ADD_PRODUCT, Kernel.ADD_FOUR_PRODUCTS)
SETTING = (*PRODUCTS, Kernel.ADD_SWITCHED, Kernel.ADD_VALUE)
#: Rows of small constants that a run holds transformed: as many as fit the last cache.
MOST_TRANSFORMED = 64
#: What totals may take together that are begun before their turn.
WAITING_BYTES = 1 << 27


def gathered(program: Program, degree: int, threads: int) -> Program:
    """The program with its products moved up, its runs marked (`Instruction.together`), and scratch for them."""
    runs = _runs(list(_moved_up(program, degree)), program.places)
    return replace(
        program,
        instructions=tuple(_set_first(chain.from_iterable(runs))),
        scratch_rows=max(program.scratch_rows, threads * (MOST_TRANSFORMED // 2 + 1)),
    )


def values_and_constants(instruction: Instruction) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The arrays of values and of constants that an instruction of PRODUCTS multiplies."""
    half = len(instruction.arrays) // 2
    return instruction.arrays[1:half], instruction.arrays[half:-1]


def _moved_up(program: Program, degree: int) -> Iterator[Instruction]:
    places, instructions = program.places, program.instructions
    first, last = dict[int, int](), dict[int, int]()  # when an array is written for the first and for the last time
    for number, one in enumerate(instructions):
        first.setdefault(one.arrays[0], number)
        last[one.arrays[0]] = number
    movable = [number for number, one in enumerate(instructions) if _may_move(one, places)]
    done = set[int]()
    for number, one in enumerate(instructions):
        if number in done:
            continue
        yield one
        if not _may_move(one, places):
            continue
        begun, room = set[int](), WAITING_BYTES
        for other in movable[movable.index(number) + 1 :]:
            later = instructions[other]
            if later.arrays[-1] != one.arrays[-1]:
                break  # products at another level
            if other in done or any(last.get(value, -1) > number for value in values_and_constants(later)[0]):
                continue
            total = later.arrays[0]
            if first[total] > number and total not in begun:
                begun.add(total)
                room -= _size(places[total], degree)
            if room < 0:
                break
            done.add(other)
            yield later


def _may_move(one: Instruction, places: Sequence[Place]) -> bool:
    """Whether an instruction adds products that set all rows of all parts of their total, so that it may come first."""
    if one.kernel not in PRODUCTS:
        return False
    values, constants = values_and_constants(one)
    total = places[one.arrays[0]]
    return all(places[value].parts == total.parts for value in values) and all(
        places[constant].rows == total.rows for constant in constants
    )


def _set_first(instructions: Iterable[Instruction]) -> Iterator[Instruction]:
    """The instructions, of which the first that writes a total sets it, and no other one does."""
    written = set[int]()
    for one in instructions:
        total = one.arrays[0]
        yield replace(one, flag=total not in written) if one.kernel in SETTING else one
        written.add(total)


def _runs(instructions: Sequence[Instruction], places: Sequence[Place]) -> Iterator[Iterator[Instruction]]:
    """The instructions in runs. Products with the same values follow each other."""
    start = 0
    while start < len(instructions):
        end = _end_of_run(instructions, start, places)
        run = instructions[start:end]
        if run[0].kernel in PRODUCTS:
            run = sorted(run, key=lambda one: (-one.kernel, values_and_constants(one)[0]))
        yield (replace(one, together=len(run) - number) for number, one in enumerate(run))
        start = end


def _end_of_run(instructions: Sequence[Instruction], start: int, places: Sequence[Place]) -> int:
    """The instruction after the longest run from `start` on."""
    kind, moduli = _kind(instructions[start], places), instructions[start].arrays[-1]
    totals, read, end = set[int](), set[int](), start
    while kind is not None and end < len(instructions):
        total, *others = (one := instructions[end]).arrays
        if (
            _kind(one, places) != kind
            or one.arrays[-1] != moduli
            or total in read
            or totals.intersection(others)
            or (one.kernel is Kernel.ADD_SWITCHED and total in totals)  # its blocks come in another order for each
        ):
            break
        totals.add(total)
        read.update(others)
        end += 1
    return max(end, start + 1)


def _kind(one: Instruction, places: Sequence[Place]) -> tuple[bool, int] | None:
    """What instructions of a run have in common: whether they are products, and how many rows take part."""
    if one.kernel in PRODUCTS:
        return True, places[values_and_constants(one)[1][0]].rows
    return (False, places[one.arrays[1]].rows) if one.kernel is Kernel.ADD_SWITCHED else None


def _size(place: Place, degree: int) -> int:
    return place.parts * place.rows * degree * RESIDUE_BYTES
