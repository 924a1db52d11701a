"""How far errors reach: derivatives by features against differences, by slots against simulated noise."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from secure.bounds import sources
from secure.bounds.assessment import row_errors
from secure.bounds.propagate import noise_model, watched_outputs
from secure.bounds.reach import reach
from secure.bounds.rounding import rounded_outputs
from secure.drafting.draft import Choice, Draft, Rescaling, gather_evidence
from secure.drafting.work import draft_keys, draft_milliseconds
from secure.encoding import encoding_error
from secure.evaluators.clear import ClearEvaluator, NoisyClearEvaluator
from secure.evaluators.walk import walk
from secure.kernels.counts import TYPICAL_TIMES, KernelCounts
from secure.kernels.engine import engine_kernels
from secure.layout.packing import input_vectors, read_slots
from secure.noise import planned_key_switch_variance
from secure.passes import run_passes
from secure.passes.choose_parameters import choose_parameters
from secure.passes.choose_rotations import choose_rotations
from secure.passes.emit import emit
from secure.stages.stages import network_stages
from tests.secure.random_networks import network, rows

INPUTS = rows("correlated", 40, 20, 0)


def chosen(sizes, *, planes=1, degree=8192, residual=False, rescaling=Rescaling.EVERY, doubled=None):
    """A draft with parameters for a network with random weights. doubled: see `DiagonalTable`, by stage."""
    stages = network_stages(network(sizes, INPUTS, 3, residual=residual))
    choice = Choice(degree=degree, rescaling=rescaling, base_primes=1, rotate_input=True, planes=planes)
    draft = Draft(stages=stages, evidence=gather_evidence(stages, INPUTS), choice=choice, allowed_error=1e3)
    arranged = run_passes(draft, stop=choose_rotations)
    tables = [replace(own, doubled=(doubled or {}).get(stage, {})) for stage, own in enumerate(arranged.tables)]
    return choose_parameters(
        run_passes(replace(arranged, tables=tuple(tables)), start=choose_rotations, stop=choose_parameters)
    )


DRAFTS = {
    "one plane": {"sizes": (20, 12, 3)},
    "two planes": {"sizes": (20, 12, 3), "planes": 2},
    "residual": {"sizes": (20, 20, 20, 5), "residual": True, "degree": 16384},
    "before the last": {"sizes": (20, 12, 8, 3), "rescaling": Rescaling.BEFORE_LAST},
    "shares": {"sizes": (20, 64, 48, 10), "degree": 16384},
    "doubled": {
        "sizes": (20, 12, 12, 3),
        "planes": 2,
        "residual": True,
        "doubled": {1: {1: 4}, 2: {1: 2, 2: 1}},
    },
}


@cache
def known(name):
    return chosen(**DRAFTS[name])


@pytest.fixture(params=DRAFTS)
def draft(request):
    return known(request.param)


def plan_outputs(draft, evaluator, inputs, fresh=lambda slots: slots):
    """The outputs that a client reads, (outputs, rows), of the draft's plan under an evaluator."""
    plan = run_passes(draft, start=emit).plan
    places = read_slots(draft.tables[-1].output_map, draft.stages[-1].size)
    slots = draft.atom_maps[0].reshape(-1, draft.choice.planes, draft.choice.slots)
    made = walk(plan, evaluator(plan), [fresh(own) for own in input_vectors(inputs, slots).swapaxes(0, 1)])
    return np.stack(made).real[places[:, 0], :, places[:, 1]]


class Rounded(ClearEvaluator):
    """Exact arithmetic on the constants as an encoder rounds them."""

    def __init__(self, plan):
        super().__init__(plan)
        pairs = zip(self.constants, plan.constants, strict=True)
        self.constants = [slots + encoding_error(slots, own.scale) for slots, own in pairs]


def test_rounded_outputs_are_those_of_the_plan_with_encoded_constants(draft):
    found = rounded_outputs(draft, INPUTS)
    np.testing.assert_allclose(found, plan_outputs(draft, Rounded, INPUTS), rtol=0, atol=1e-11)
    assert np.abs(found - draft.evidence.outputs).max() > 1e-7  # rounding makes a difference that is seen


def test_a_draft_counts_the_work_and_the_keys_of_its_plan(draft):
    plan = run_passes(draft, start=emit).plan  # its checker compares the operations
    assert draft_keys(draft) == plan.key_manifest
    kernels = sum(engine_kernels(plan), KernelCounts())
    assert TYPICAL_TIMES.milliseconds(kernels) == pytest.approx(draft_milliseconds(draft, TYPICAL_TIMES), rel=0.05)


def test_reach_is_the_sum_of_squared_derivatives():
    stages = network_stages(network((20, 12, 8, 3), INPUTS, 1))
    evidence = gather_evidence(stages, INPUTS[:4])
    found = reach(stages, evidence, [0, 2])
    step, energy = 1e-5, np.zeros((2, 4))
    for feature in range(20):
        moved = [INPUTS[:4] + side * step * np.eye(20)[feature] for side in (1, -1)]
        up, down = (gather_evidence(stages, inputs).outputs[[0, 2]] for inputs in moved)
        energy += ((up - down) / (2 * step)) ** 2
    np.testing.assert_allclose(found.fresh, energy, rtol=1e-5)
    last = found.stages[-1].value
    np.testing.assert_array_equal(last[:, :, 0], np.eye(3)[:, [0, 2]])


def test_predicted_random_errors_are_those_of_simulated_noise(draft, monkeypatch):
    # the simulation knows no baby steps: it charges every rotation the rounding that the engine leaves out there
    monkeypatch.setattr(sources, "planned_baby_variance", planned_key_switch_variance)
    errors = row_errors(draft, INPUTS[:8])
    random = []
    for seed in range(16):
        plan = run_passes(draft, start=emit).plan
        evaluator = NoisyClearEvaluator(plan, seed)
        found = plan_outputs(draft, lambda _, own=evaluator: own, INPUTS[:8], evaluator.fresh)
        random.append(found - draft.evidence.outputs[:, :8] - errors.systematic)
    measured = np.sqrt(np.mean(np.square(random)))
    assert measured == pytest.approx(np.sqrt(np.mean(errors.mean_sigma**2)), rel=0.1)
    np.testing.assert_allclose(errors.sigma > errors.mean_sigma, True)


def test_the_search_predicts_the_root_mean_square_over_draws_of_rounding_errors():
    """Scales that differ a little give other rounding errors: of these draws the search knows the variance."""
    draft = chosen((20, 12, 3))
    model = noise_model(draft, 8).in_slots().measured(draft.input_scale, draft.scales)
    found = []
    for draw in range(40):
        scales = tuple(replace(own, value=own.value * (1 + 1e-3 * draw)) for own in draft.scales)
        other = replace(draft, scales=scales)
        found.append(rounded_outputs(other, INPUTS[:8]) - draft.evidence.outputs[:, :8])
    both = model.output_sigmas(draft.params, draft.input_scale, draft.scales)
    random = row_errors(draft, INPUTS[:8]).sigma
    predicted = np.sqrt(np.mean(both**2 - random**2))
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(predicted, rel=0.35)


def test_of_many_outputs_evenly_spaced_ones_are_watched():
    assert watched_outputs(10) == list(range(10))
    assert watched_outputs(1000) == list(range(0, 1000, 16))
