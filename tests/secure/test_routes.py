"""Baby steps made from one another: every step is reached by keys that are there, and few keys are made."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.compile_networks import residual_stages
from secure.drafting.draft import Choice, Draft, Rescaling, Split, gather_evidence
from secure.drafting.routes import cheapest_routes, joined_giants
from secure.drafting.work import draft_keys
from secure.passes import run_passes
from secure.passes.choose_parameters import choose_parameters
from secure.passes.choose_rotations import choose_rotations
from secure.stages.stages import network_stages

SLOTS = 4096
STEPS = st.sets(st.integers(0, SLOTS - 1), max_size=24)
#: The taps of a 3x3 window on a raster of 32 columns.
TAPS = {(32 * row + column) % SLOTS for row in (-1, 0, 1) for column in (-1, 0, 1)}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(STEPS, st.sets(st.integers(1, SLOTS - 1), max_size=6), st.integers(0, 5), st.integers(1, 5))
def test_every_baby_step_is_made_with_keys_that_are_there(babies, known, source_ms, key_ms):
    routes = cheapest_routes(babies, known, float(source_ms), float(key_ms), SLOTS)
    made = Split({}, sources=routes.sources).made(babies)
    assert set(made) == babies - {0}
    assert {(step - source) % SLOTS for step, source in made.items()} <= known | routes.new_keys
    order = list(made)
    assert all(source == 0 or order.index(source) < order.index(step) for step, source in made.items())
    assert routes.milliseconds <= key_ms * len(babies - known - {0})
    assert routes.new_keys.isdisjoint(known)


def test_a_second_block_of_taps_costs_one_key():
    """18 baby steps, nine taps in two blocks: eight keys for the taps, one for the block."""
    blocks = TAPS | {(tap + 1024) % SLOTS for tap in TAPS}
    routes = cheapest_routes(blocks, (), 1.5, 1.0, SLOTS)
    assert len(routes.new_keys) == 9
    assert set(routes.sources.values()) == {1024}
    assert routes.milliseconds == 10.5
    assert len(cheapest_routes(blocks, TAPS, 1.5, 1.0, SLOTS).new_keys) == 1
    assert len(cheapest_routes(blocks, (), 100.0, 1.0, SLOTS).new_keys) == 17


def test_giant_steps_with_gaps_join_one_another():
    giants = {0, 64, 128, 256, 320, 512}
    routes = joined_giants(giants, (), SLOTS)
    joined = Split({}, targets=routes.sources).joined(giants)
    assert set(joined) == giants - {0}
    assert len(routes.new_keys) == 2
    assert {giant - target for giant, target in joined.items()} == routes.new_keys


def test_a_plan_with_joined_giants_and_made_babies_does_what_the_network_does():
    """All passes check their results: the plan in clear equals the network, and its work is what was counted."""
    network = residual_stages((1,), 4, 8)
    images = np.random.default_rng(0).uniform(-1, 1, (8, *network.input_shape))
    stages = network_stages(network)
    choice = Choice(degree=8192, rescaling=Rescaling.EVERY, base_primes=1, rotate_input=True)
    start = run_passes(
        Draft(stages=stages, evidence=gather_evidence(stages, images), choice=choice), stop=choose_rotations
    )
    keys = {}
    for weight in (0, 4):
        weighed = replace(start, choice=replace(choice, key_weight=weight))
        keys[weight] = draft_keys(run_passes(weighed, start=choose_rotations, stop=choose_parameters))
    written = run_passes(weighed, start=choose_rotations)
    assert any(split.sources for split in written.splits)
    assert written.plan.key_manifest.galois_elements == keys[4].galois_elements
    assert len(keys[4].galois_elements) < 0.75 * len(keys[0].galois_elements)
