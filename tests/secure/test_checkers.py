"""Every checker finds a draft that was broken on purpose, and names the layer."""

from dataclasses import replace

import numpy as np
import pytest

from compress.errors import InsecureParametersError, PlanError
from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.drafting.draft import Choice, Draft, Rescaling, Split, StageScales, gather_evidence
from secure.layout.diagonals import DiagonalTable
from secure.params import make_params
from secure.passes import run_passes
from secure.passes.checkers import check_arranged, check_levels, check_parameters, check_plan, check_rotations
from secure.plan import Kind
from secure.stages.stages import network_stages


@pytest.fixture(scope="module")
def draft():
    rng = np.random.default_rng(0)

    def weights(*shape):
        return Weights(rng.normal(size=shape) / np.sqrt(shape[1]), np.array(1.0))

    network = Network(
        nodes=(
            Input(name="x", inputs=(), shape=(20,)),
            Dense(name="first", inputs=("x",), shape=(8,), weights=weights(8, 20), bias=rng.normal(size=8)),
            Polynomial(name="act", inputs=("first",), shape=(8,), coefficients=np.array([[0.1], [0.5], [0.3]])),
            Dense(name="last", inputs=("act",), shape=(3,), weights=weights(3, 8), bias=rng.normal(size=3)),
        )
    )
    stages = network_stages(network)
    choice = Choice(degree=8192, rescaling=Rescaling.EVERY, base_primes=1, rotate_input=True)
    made = Draft(stages=stages, evidence=gather_evidence(stages, rng.random((8, 20))), choice=choice)
    return run_passes(made)


def test_the_whole_draft_passes_every_checker(draft):
    checkers = (check_arranged, check_rotations, check_levels, check_parameters, check_plan)
    assert [check(draft) for check in checkers] == [None] * 5


def test_a_diagonal_shifted_by_one_is_caught(draft):
    table = draft.tables[0]
    shifted = {key: np.roll(values, 1) for key, values in table.diagonals.items()}
    broken = replace(draft, tables=(DiagonalTable(shifted, table.folds, table.output_map), *draft.tables[1:]))
    with pytest.raises(PlanError, match="layer 'first': its diagonals are off by"):
        check_arranged(broken)


def test_a_missing_fold_is_caught(draft):
    table = draft.tables[0]
    broken = replace(draft, tables=(replace(table, folds=table.folds[:-1]), *draft.tables[1:]))
    with pytest.raises(PlanError, match="layer 'first': its diagonals are off by"):
        check_arranged(broken)


def test_a_lost_output_is_caught(draft):
    table = draft.tables[-1]
    lost = np.where(table.output_map == 2, -1, table.output_map)
    with pytest.raises(PlanError, match="layer 'last': the layout lost 1 of its 3 values"):
        check_arranged(replace(draft, tables=(*draft.tables[:-1], replace(table, output_map=lost))))


def test_a_rotation_of_the_wrong_sign_is_caught(draft):
    slots = draft.choice.slots
    turned = Split({r: (baby, (-giant - 1) % slots) for r, (baby, giant) in draft.splits[0].parts.items()})
    broken = replace(draft, splits=(turned, *draft.splits[1:]))
    with pytest.raises(PlanError, match="layer 'first': rotation .* was split into"):
        check_rotations(broken)


def test_a_missing_level_is_caught(draft):
    with pytest.raises(PlanError, match="layer 'last': was placed at level 0"):
        check_levels(replace(draft, stage_levels=(*draft.stage_levels[:-1], 0)))
    with pytest.raises(PlanError, match="layer 'last': was placed at level 2"):
        check_levels(replace(draft, stage_levels=(*draft.stage_levels[:-1], draft.stage_levels[0])))


def test_a_value_above_its_modulus_is_caught(draft):
    huge = StageScales(draft.scales[-1].value * 2.0**8, 0.0)
    with pytest.raises(PlanError, match="layer 'last': its values need .* bits where the modulus leaves"):
        check_parameters(replace(draft, scales=(*draft.scales[:-1], huge)))


def test_an_insecure_modulus_is_caught(draft):
    with pytest.raises(InsecureParametersError, match="128-bit security allows 214"):
        check_parameters(replace(draft, params=make_params(8192, [60, 60, 60], 60)))


def without(plan, position):
    return replace(plan, ops=plan.ops[:position] + plan.ops[position + 1 :])


def test_a_dropped_rescale_is_caught(draft):
    plan = draft.plan
    position = next(i for i, op in enumerate(plan.ops) if op.kind is Kind.RESCALE)
    op = plan.ops[position]
    kept = replace(op, kind=Kind.RELINEARIZE, level=op.level + 1)
    broken = replace(plan, ops=(*plan.ops[:position], kept, *plan.ops[position + 1 :]))
    with pytest.raises(PlanError, match="layer 'first': operation"):
        check_plan(replace(draft, plan=broken))


def test_a_drifting_scale_is_caught(draft):
    plan = draft.plan
    position = next(i for i, op in enumerate(plan.ops) if op.kind is Kind.MULTIPLY_PLAIN)
    drifted = replace(plan.ops[position], scale=plan.ops[position].scale * 1.001)
    broken = replace(plan, ops=(*plan.ops[:position], drifted, *plan.ops[position + 1 :]))
    with pytest.raises(PlanError, match="layer 'first': operation multiply_plain .*scale"):
        check_plan(replace(draft, plan=broken))


def test_a_constant_of_another_layer_is_caught_by_the_run_in_clear(draft):
    plan = draft.plan
    first = replace(plan.constants[0], slots=np.roll(plan.constants[0].slots, 3))
    broken = replace(plan, constants=(first, *plan.constants[1:]))
    with pytest.raises(PlanError, match="layer 'last': the plan in clear is off by"):
        check_plan(replace(draft, plan=broken))
