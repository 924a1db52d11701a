"""What the engine's counting says, against hand counts and against what the engine really transforms."""

import numpy as np
import pytest

from secure.engine import arithmetic, base_change
from secure.engine.evaluator import EngineBackend
from secure.engine_kernels import (
    digits_kernels,
    division_kernels,
    engine_kernels,
    lone_operation_kernels,
    switch_kernels,
)
from secure.kernels import KernelCounts
from secure.plan import Kind
from tests.secure.plans import SMALL, Builder, baby_giant_plan, every_kind_plan
from tests.secure.test_tenseal_evaluator import Party, uniform


def transforms(plan):
    return [counts.transforms for counts in engine_kernels(plan)]


def test_pieces_by_hand_at_two_rings():
    # two levels: digits 2 back and 2 * 2 forward; a division 2 back and 2 * 2 forward
    assert digits_kernels(2, 4096).transforms == 6
    assert division_kernels(2, 4096).transforms == 6
    assert digits_kernels(2, 4096).butterflies == 6 * 2048 * 12
    # three levels of 8192: 2 * 3 * 4 rows of products with as many of a key; eight rows rearranged and added, three carried along times P
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
    ]  # counted where the value is made; a lone product gains nothing by an extended factor


def test_a_chain_of_rotations_divides_one_part_between():
    builder = Builder()
    plan = builder.build(builder.rotate(builder.rotate(0, 1), 1))
    assert transforms(plan) == [
        6,
        3 + 6 + 6,
    ]  # of the first only the part that is taken apart is divided, then the output


def test_babies_stay_undivided_where_that_is_less_work_for_all_their_sums():
    """Four babies in three sums: no baby is divided; of the first giant and the fold one part each, and no other sum."""
    plan = baby_giant_plan()
    multiplied = [
        counts.products for op, counts in zip(plan.ops, engine_kernels(plan), strict=True) if op.constant >= 0
    ]
    assert sorted(set(multiplied[:12])) == [2 * 2 * 4096, 2 * 3 * 4096]  # the input itself has no row of P
    # digits of input, two giants and the fold; a part of three sums divided; the square's relinearization with its rescale
    total = sum(transforms(plan))
    assert total == 4 * 6 + 3 * 3 + 6 + (6 + 6)
    # with a sum for every output and hardly a baby, babies are divided once and the sums not at all
    builder = Builder()
    baby = builder.rotate(0, 1)
    outputs = [builder.multiply_plain(baby, np.ones(SMALL.slots), 2.0**10) for _ in range(3)]
    assert sum(transforms(builder.build(*outputs))) == 6 + 6


@pytest.mark.parametrize("plan", [every_kind_plan(), baby_giant_plan()], ids=["every kind", "baby and giant"])
def test_the_engine_transforms_as_often_as_counted(plan, monkeypatch):
    party = Party(plan)
    backend = EngineBackend(party.ring, plan, 2**30, None)
    evaluator = backend.evaluator(party.keys)
    done = []

    def digits(team, part, result, scratch, tables):
        level = len(part)
        done.append(level + level * level)
        digits_of(team, part, result, scratch, tables)

    def division(team, value, special, result, scratch, tables):
        parts, rows = value.shape[:2]
        done.append(parts * rows)
        divide(team, value, special, result, scratch, tables)

    def joint_division(team, value, result, scratch, tables):
        done.append(2 * value.shape[1])
        divide_jointly(team, value, result, scratch, tables)

    digits_of, divide, divide_jointly = base_change.digits_of, base_change.divide, base_change.divide_jointly
    monkeypatch.setattr(base_change, "digits_of", digits)
    monkeypatch.setattr(base_change, "divide", division)
    monkeypatch.setattr(base_change, "divide_jointly", joint_division)
    backend.run(evaluator, [backend.load(party.encrypt(uniform(seed))) for seed in range(plan.inputs)])
    assert sum(done) == sum(engine_kernels(plan), KernelCounts()).transforms


CALLED = {
    arithmetic: ("add_switched", "add_product", "add_four_products", "add_value", "add_scaled", "square"),
    base_change: ("digits_of", "divide", "divide_jointly"),
}


@pytest.mark.parametrize("plan", [every_kind_plan(), baby_giant_plan()])
def test_the_engine_is_called_as_often_as_counted(plan, monkeypatch):
    party = Party(plan)
    backend = EngineBackend(party.ring, plan, 2**30, None)
    evaluator = backend.evaluator(party.keys)
    inputs = [backend.load(party.encrypt(uniform(seed))) for seed in range(plan.inputs)]
    made = []
    for module, names in CALLED.items():
        for name in names:
            kernel = getattr(module, name)
            monkeypatch.setattr(module, name, lambda *given, kernel=kernel: (made.append(kernel), kernel(*given)))
    backend.run(evaluator, inputs)
    drops = plan.count(Kind.DROP)  # copied by numpy
    assert len(made) + drops == sum(counts.calls for counts in engine_kernels(plan))
