"""The engine's counts, against counts by hand and against the engine's program; and the arrays of that program."""

from itertools import pairwise

import numpy as np
import pytest

from secure.engine.program import Kernel, Origin, assemble
from secure.engine.schedule import Offset, Product, Sum, Turn, schedule
from secure.kernels.counts import KernelCounts
from secure.kernels.engine import (
    digits_kernels,
    division_kernels,
    engine_kernels,
    lone_operation_kernels,
    switch_kernels,
)
from secure.plan import Kind
from tests.secure.plans import SMALL, Builder, baby_giant_plan, complex_plan, every_kind_plan

PLANS = every_kind_plan(), baby_giant_plan(), complex_plan()
NAMES = "every kind", "baby and giant", "complex"
ADDING = (Kernel.ADD_SWITCHED, Kernel.ADD_PRODUCT, Kernel.ADD_FOUR_PRODUCTS, Kernel.ADD_VALUE, Kernel.ADD_SCALED)


def transforms(plan):
    return [counts.transforms for counts in engine_kernels(plan)]


def test_kernels_of_parts_of_a_key_switch_by_hand():
    # two levels: digits take 2 transforms back and 2 * 2 forward; a division 2 back and 2 * 2 forward
    assert digits_kernels(2, 4096).transforms == 6
    assert division_kernels(2, 4096).transforms == 6
    assert digits_kernels(2, 4096).butterflies == 6 * 2048 * 12
    # three levels of 8192: 2 * 3 * 4 rows of products with as many rows of a key;
    # eight rows are rearranged and added, three are carried along times P
    assert switch_kernels(3, 8192).products == 24 * 8192
    assert switch_kernels(3, 8192).additions == (4 * 8 + 2 * 3) * 8192
    assert switch_kernels(3, 8192).key_bytes == 24 * 8192 * 8
    assert lone_operation_kernels(Kind.ROTATE, 3, 8192).transforms == 12 + 8


def test_rotations_of_one_value_share_its_digits_and_their_sum_one_division():
    builder = Builder()
    first, second = builder.rotate(0, 1), builder.rotate(0, 2)
    plan = builder.build(builder.add(first, second))
    assert transforms(plan) == [6, 0, 6]


def test_a_value_is_divided_when_an_operation_needs_it():
    builder = Builder()
    rotated = builder.rotate(0, 1)
    plan = builder.build(builder.multiply_plain(rotated, np.ones(SMALL.slots), 2.0**10))
    assert transforms(plan) == [
        12,
        0,
    ]  # counted where the value is made; a single product gains nothing from an extended factor


def test_a_chain_of_rotations_divides_only_one_part_in_between():
    builder = Builder()
    plan = builder.build(builder.rotate(builder.rotate(0, 1), 1))
    assert transforms(plan) == [
        6,
        3 + 6 + 6,
    ]  # of the first rotation only the part that is decomposed is divided, then the whole output


def test_baby_steps_stay_undivided_where_that_is_less_work():
    """Four babies in three sums: no baby is divided.

    Of the first giant and the fold one part each is divided, and no other sum.
    """
    plan = baby_giant_plan()
    multiplied = [
        counts.products for op, counts in zip(plan.ops, engine_kernels(plan), strict=True) if op.constant >= 0
    ]
    assert sorted(set(multiplied[:12])) == [2 * 2 * 4096, 2 * 3 * 4096]  # the input itself has no row of P
    # the digits of the input, two giants and the fold; one divided part of each of three sums;
    # the square's relinearization together with its rescale
    total = sum(transforms(plan))
    assert total == 4 * 6 + 3 * 3 + 6 + (6 + 6)
    # with one sum per output and only one baby, the baby is divided once and the sums are not
    builder = Builder()
    baby = builder.rotate(0, 1)
    outputs = [builder.multiply_plain(baby, np.ones(SMALL.slots), 2.0**10) for _ in range(3)]
    assert sum(transforms(builder.build(*outputs))) == 6 + 6


def transforms_of(instruction, places):
    """How many transforms a kernel does, from the sizes of its arrays."""
    parts, rows = places[instruction.arrays[1]].parts, places[instruction.arrays[1]].rows
    match instruction.kernel:
        case Kernel.TAKE_APART:
            return rows + rows * rows
        case Kernel.DIVIDE | Kernel.DIVIDE_JOINTLY:
            return parts * rows
        case Kernel.DIVIDE_LAST_PART:
            return rows
    return 0


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_the_engines_program_transforms_as_often_as_counted(plan):
    program = assemble(plan, schedule(plan), threads=1)
    done = sum(transforms_of(instruction, program.places) for instruction in program.instructions)
    assert done == sum(engine_kernels(plan), KernelCounts()).transforms


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_the_engines_program_has_as_many_instructions_as_calls_are_counted(plan):
    program = assemble(plan, schedule(plan), threads=1)
    assert len(program.instructions) == sum(counts.calls for counts in engine_kernels(plan))


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_arrays_of_a_program_do_not_overlap(plan):
    """Arrays overlap neither each other nor the scratch in the workspace, and no kernel writes what it reads."""
    program = assemble(plan, schedule(plan), threads=2)
    degree = plan.params.poly_modulus_degree
    taken = [(0, program.scratch_rows * degree)]
    for place in program.places:
        if place.origin is Origin.WORKSPACE:
            taken.append((place.which, place.which + place.parts * place.rows * degree))
    taken.sort()
    assert all(end <= start for (_, end), (start, _) in pairwise(taken))
    assert taken[-1][1] == program.workspace
    assert all(result not in read for result, *read in (one.arrays for one in program.instructions))


def symbolic(plan):
    """A schedule's sums and operations as nested tuples: for each value, the terms it is made of."""
    values = {number: ("input", number) for number in range(plan.inputs)}
    for step in schedule(plan).steps:
        if isinstance(step, Sum):
            terms = [(type(term).__name__, getattr(term, "source", None), *_which(term)) for term in step.terms]
            values[step.result] = ("sum", tuple((name, values.get(source), *own) for name, source, *own in terms))
        else:
            values[step.result] = ("apply", *(values[source] for source in step.sources))
    return values


def _which(term):
    match term:
        case Turn():
            return (term.element,)
        case Product() | Offset():
            return (term.constant, term.form)
    return ()


def replayed(program):
    """The outputs, from the instructions alone; an array holds the value that was last written to it."""
    held = {
        number: ("input", place.which) for number, place in enumerate(program.places) if place.origin is Origin.INPUT
    }
    for one in program.instructions:
        result, *read = one.arrays
        before = () if one.flag or one.kernel not in ADDING else held[result][1]
        match one.kernel:
            case Kernel.ADD_SWITCHED:
                digits, key, source = read[:3]
                assert held[digits] == ("digits", held[source])
                added = (("Turn", held[source], program.places[key].which),)
            case Kernel.ADD_PRODUCT | Kernel.ADD_FOUR_PRODUCTS:
                half = len(read) // 2
                pairs = zip(read[:half], read[half : 2 * half], strict=True)
                added = tuple(("Product", held[value], *program.places[constant].which) for value, constant in pairs)
            case Kernel.ADD_VALUE if program.places[read[0]].origin is Origin.CONSTANT:
                added = (("Offset", None, *program.places[read[0]].which),)
            case Kernel.ADD_VALUE | Kernel.ADD_SCALED:
                added = (("Summand", held[read[0]]),)
            case Kernel.TAKE_APART:
                of = held[read[0]]
                held[result] = ("digits", of[1] if of[0] == "part" else of)
                continue
            case Kernel.DIVIDE_LAST_PART:
                held[result] = ("part", held[read[0]])
                continue
            case Kernel.DIVIDE if one.flag:
                held[result] = held[read[0]]
                continue
            case _:
                held[result] = ("apply", held[read[0]])
                continue
        held[result] = ("sum", (*before, *added))
    return [held[output] for output in program.outputs]


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_an_instruction_reads_values_that_are_not_overwritten_yet(plan):
    """The test finds an array that is given to another value before its last reader, whatever numbers are in it."""
    values = symbolic(plan)
    assert replayed(assemble(plan, schedule(plan), threads=1)) == [values[output] for output in plan.outputs]
