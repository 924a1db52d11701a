"""A rescale before a square: few large primes in place of many, and the same answers."""

from dataclasses import replace

import numpy as np
import pytest

from secure.compiling import search
from secure.compiling.compile import compile_network
from secure.drafting.draft import Choice, Draft, Rescaling, gather_evidence
from secure.limits import Limits
from secure.passes import run_passes
from secure.passes.choose_parameters import choose_parameters
from secure.plan import Kind
from secure.stages.stages import network_stages
from secure.verify.roundtrip import clear_outputs, encrypted_outputs
from tests.secure.random_networks import network, rows
from tests.secure.test_compiling_layers import TIMES

INPUTS = rows("correlated", 40, 20, 0)
LARGEST_ERROR = 50.0


@pytest.fixture(scope="module")
def bundle():
    made = network((20, 12, 8, 3), INPUTS, 3)
    every = search._choices
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            search,
            "_choices",
            lambda *args: [
                one for one in every(*args) if one.rescaling is Rescaling.BEFORE_LAST and one.rescale_primes == 1
            ],
        )
        return compile_network(made, INPUTS, times=TIMES, limits=Limits(max_error=LARGEST_ERROR))


def test_the_last_value_is_rescaled_and_then_squared(bundle):
    plan = bundle.server.plan
    first, last = (number for number, op in enumerate(plan.ops) if op.kind is Kind.SQUARE)
    assert plan.count(Kind.RESCALE) == 1
    rescaled = plan.ops[plan.ops[last].args[0] - plan.inputs]
    assert rescaled.kind is Kind.RESCALE
    assert plan.ops[first].level == plan.params.levels == rescaled.level + 1 == plan.ops[last].level + 1
    assert plan.ops[last].scale == pytest.approx(rescaled.scale**2)
    # scales grow up to the rescale, and one prime takes most of that back
    before = plan.scale_of(rescaled.args[0])
    assert before == pytest.approx(rescaled.scale * plan.params.data_primes[-1])
    assert before > plan.ops[first].scale > plan.input_scale**2


def test_answers_stay_within_the_promised_error(bundle):
    found, _ = encrypted_outputs(bundle, INPUTS[:6], lambda label, share: None)
    error = np.abs(found - clear_outputs(bundle, INPUTS[:6])).max()
    assert 0 < error <= bundle.client.predicted_logit_error <= LARGEST_ERROR


@pytest.mark.parametrize(
    ("rescaling", "primes", "levels", "atoms"),
    [
        (Rescaling.EVERY, 1, (4, 3, 2, 1), (4, 3, 2, 1)),
        (Rescaling.BEFORE_LAST, 1, (2, 2, 2, 1), (2, 2, 2, 1)),
        (Rescaling.BEFORE_LAST, 2, (3, 3, 3, 1), (3, 3, 3, 1)),
        (Rescaling.BEFORE, 1, (4, 3, 2, 1), (4, 3, 2, 1)),
        (Rescaling.NEVER, 1, (1, 1, 1, 1), (1, 1, 1, 1)),
    ],
)
def test_levels_fall_where_the_plan_rescales(rescaling, primes, levels, atoms):
    stages = network_stages(network((20, 12, 8, 6, 3), INPUTS, 3))
    choice = Choice(degree=16384, rescaling=rescaling, base_primes=1, rotate_input=True, rescale_primes=primes)
    draft = run_passes(
        Draft(stages=stages, evidence=gather_evidence(stages, INPUTS), choice=choice), stop=choose_parameters
    )
    assert draft.stage_levels == levels
    assert draft.atom_levels == atoms


@pytest.mark.parametrize(
    ("layers", "possible"),
    [(4, set(Rescaling) - {Rescaling.BEFORE}), (6, {"every", "not_last", "before"}), (12, {"before"})],
)
def test_deep_networks_are_rescaled_before_their_squares_alone(layers, possible):
    stages = network_stages(network((20, *[5] * (layers - 2), 3), INPUTS, 3))
    draft = Draft(stages=stages, evidence=gather_evidence(stages, INPUTS), choice=search.START)
    choices = [Choice(degree=32768, rescaling=one, base_primes=1, rotate_input=True) for one in Rescaling]
    assert {one.rescaling for one in choices if search._may_fit(replace(draft, choice=one))} == possible
