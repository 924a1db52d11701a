"""Instructions that run together: none waits for another, their arrays lie apart, and answers are the same."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from secure.engine import gathering, placing
from secure.engine.evaluator import EngineBackend
from secure.engine.gathering import PRODUCTS, gathered, values_and_constants
from secure.engine.placing import placed
from secure.engine.program import Kernel, Origin, assemble
from secure.engine.schedule import schedule
from tests.secure.own_keys import OwnParty
from tests.secure.plans import SMALL, baby_giant_plan, complex_plan, every_kind_plan

DEGREE = SMALL.poly_modulus_degree
PLANS = every_kind_plan(), baby_giant_plan(babies=9, giants=4), complex_plan()
NAMES = "every kind", "baby and giant", "complex"


def both(plan, threads=1):
    """The program before and after its instructions were gathered."""
    alone = assemble(plan, schedule(plan), threads, reuse=False)
    return alone, gathered(alone, DEGREE, threads)


def runs_of(program):
    at = 0
    while at < len(program.instructions):
        yield program.instructions[at : at + program.instructions[at].together]
        at += program.instructions[at].together


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_a_gathered_program_has_the_same_instructions_and_no_array_is_read_before_it_is_complete(plan):
    alone, program = both(plan)
    assert Counter((one.kernel, one.arrays) for one in alone.instructions) == Counter(
        (one.kernel, one.arrays) for one in program.instructions
    )
    writes, reads = {}, {}
    for step, one in enumerate(program.instructions):
        total, *others = one.arrays
        if one.kernel in gathering.SETTING:
            assert one.flag == (total not in writes)
        writes[total] = step
        for other in others:
            reads.setdefault(other, step)
    assert all(writes[array] < reads[array] for array in writes.keys() & reads.keys())


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_instructions_of_a_run_wait_for_none_of_each_other(plan):
    for run in runs_of(both(plan)[1]):
        assert [one.together for one in run] == list(range(len(run), 0, -1))
        written, read = {one.arrays[0] for one in run}, {array for one in run for array in one.arrays[1:]}
        assert len(run) == 1 or not written & read
        assert len({one.arrays[-1] for one in run}) == 1
        assert len(run) == 1 or {one.kernel in PRODUCTS for one in run} in ({True}, {False})
        if run[0].kernel is Kernel.ADD_SWITCHED:
            assert len(written) == len(run)


def test_products_of_several_sums_and_switches_of_one_value_run_together():
    runs = list(runs_of(both(PLANS[1])[1]))
    products = max((run for run in runs if run[0].kernel in PRODUCTS), key=len)
    assert len({one.arrays[0] for one in products}) == 4  # giant steps
    fours = [values_and_constants(one)[0] for one in products if one.kernel is Kernel.ADD_FOUR_PRODUCTS]
    assert fours == sorted(fours)
    switches = max((run for run in runs if run[0].kernel is Kernel.ADD_SWITCHED), key=len)
    assert len(switches) == 8  # baby steps
    assert len({one.arrays[1] for one in switches}) == 1


def test_totals_that_wait_take_no_more_than_they_may(monkeypatch):
    alone, program = both(PLANS[1])
    monkeypatch.setattr(gathering, "WAITING_BYTES", 0)
    kept = gathered(alone, DEGREE, 1)
    assert [one.arrays for one in kept.instructions] != [one.arrays for one in program.instructions]
    for run in runs_of(kept):
        assert len({one.arrays[0] for one in run if one.kernel in PRODUCTS}) <= 1


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_arrays_of_one_run_lie_apart(plan):
    program = placed(both(plan)[1], DEGREE)
    for run in runs_of(program):
        arrays = {array for one in run for array in one.arrays if program.places[array].origin is Origin.WORKSPACE}
        taken = sorted(
            (place.which, place.which + place.parts * place.rows * DEGREE)
            for place in (program.places[array] for array in arrays)
        )
        assert all(end <= start for (_, end), (start, _) in zip(taken, taken[1:], strict=False))
        assert all(program.scratch_rows * DEGREE <= start for start, _ in taken)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.24, 0.1], ids=["whole", "packed", "mixed", "small"])
def test_a_gathered_program_answers_to_the_last_bit_as_one_that_runs_alone(monkeypatch, share, threads):
    plan = replace(PLANS[1], params=SMALL)
    party = OwnParty(plan)
    value = party.random_value()
    expected = party.run(value)[0]
    whole = party.backend.resources.constants.bytes_by_storage
    monkeypatch.setattr(placing, "LARGE_BYTES", 0)
    party.backend = EngineBackend(party.ring, plan, int(share * sum(whole.values())), None, threads)
    assert any(one.together > 1 for one in party.backend.resources.program.instructions)
    np.testing.assert_array_equal(party.run(value)[0], expected)
