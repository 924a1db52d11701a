"""What the engine's counting says, against hand counts and against what the engine really transforms."""

import numpy as np
import pytest

from secure.engine import arithmetic
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
from tests.secure.plans import SMALL, Builder, every_kind_plan
from tests.secure.test_tenseal_evaluator import Party, uniform


def transforms(plan):
    return [counts.transforms for counts in engine_kernels(plan)]


def test_pieces_by_hand_at_two_rings():
    # two levels: digits 2 back and 2 * 2 forward; a division 2 back and 2 * 2 forward
    assert digits_kernels(2, 4096).transforms == 6
    assert division_kernels(2, 4096).transforms == 6
    assert digits_kernels(2, 4096).butterflies == 6 * 2048 * 12
    # three levels of 8192: 2 * 3 * 4 rows of products and three of P; the key is what they multiply
    assert switch_kernels(3, 8192).products == (24 + 3) * 8192
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
    assert transforms(plan) == [6, 6]


def test_a_chain_of_rotations_divides_one_part_between():
    builder = Builder()
    plan = builder.build(builder.rotate(builder.rotate(0, 1), 1))
    assert transforms(plan) == [
        6,
        3 + 6 + 6,
    ]  # of the first only the part that is taken apart is divided, then the output


@pytest.mark.parametrize("plan", [every_kind_plan()], ids=["every kind"])
def test_the_engine_transforms_as_often_as_counted(plan, monkeypatch):
    party = Party(plan)
    backend = EngineBackend(party.ring, plan, 2**30, None)
    evaluator = backend.evaluator(party.keys)
    done = []

    def digits(part, tables):
        level = len(part)
        done.append(level + level * level)
        return digits_of(part, tables)

    def division(value, special, tables):
        parts, rows = value.shape[:2]
        done.append(parts * rows)
        return divided(value, special, tables)

    digits_of, divided = arithmetic.digits_of, arithmetic.divided
    monkeypatch.setattr(arithmetic, "digits_of", digits)
    monkeypatch.setattr(arithmetic, "divided", division)
    backend.run(evaluator, [backend.load(party.encrypt(uniform(seed))) for seed in range(plan.inputs)])
    assert sum(done) == sum(engine_kernels(plan), KernelCounts()).transforms
