"""The work counted before a plan is written equals the plan's work, for random networks and every choice."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import small_networks

from compress.conversion.exporting import export_network
from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.drafting.draft import Choice, Draft, Rescaling, gather_evidence
from secure.drafting.work import (
    draft_keys,
    draft_milliseconds,
    draft_operations,
    draft_seal_milliseconds,
    plan_operations,
)
from secure.kernels.counts import KernelCounts, KernelTimes
from secure.kernels.engine import engine_kernels
from secure.kernels.seal import plan_seal_kernels
from secure.passes import run_passes
from secure.plan import Kind
from secure.stages.stages import network_stages
from tests.secure.plans import every_kind_plan

TIMES = KernelTimes(butterfly_ns=1.0, product_ns=3.0, addition_ns=1.0)


def drafted(network, images, choice):
    """The draft after all passes, or None when no chain fits."""
    stages = network_stages(network)
    return run_passes(Draft(stages=stages, evidence=gather_evidence(stages, images), choice=choice))


def without_drops(operations):
    return {place: count for place, count in operations.items() if place[0] is not Kind.DROP}


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    small_networks(max_layers=3, max_activations=1),
    st.sampled_from([4096, 8192]),
    st.sampled_from(Rescaling),
    st.integers(1, 2),
    st.integers(1, 2),
    st.booleans(),
    st.sampled_from([0, 4]),
)
def test_a_draft_counts_the_work_of_its_plan(small, degree, rescaling, base, primes, rotate, weight):
    images = small.images(6, 0)
    network = export_network(small.module, small.input_shape, images)
    choice = Choice(
        degree=degree, rescaling=rescaling, base_primes=base, rescale_primes=primes, rotate_input=rotate,
        key_weight=weight,
    )  # fmt: skip
    draft = drafted(network, images, choice)
    assume(draft is not None)
    assert without_drops(plan_operations(draft.plan)) == dict(draft_operations(draft))
    assert draft_keys(draft) == draft.plan.key_manifest


def test_a_small_network_by_hand():
    """Two features to two, squared, to one: a period of 2 slots, so two diagonals, and a sum over two slots."""
    square = np.array([[0.0], [0.0], [1.0]])
    full = Weights(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array(1.0))
    row = Weights(np.array([[1.0, 1.0]]), np.array(1.0))
    network = Network(
        nodes=(
            Input(name="x", inputs=(), shape=(2,)),
            Dense(name="a", inputs=("x",), shape=(2,), weights=full, bias=np.zeros(2)),
            Polynomial(name="s", inputs=("a",), shape=(2,), coefficients=square),
            Dense(name="b", inputs=("s",), shape=(1,), weights=row, bias=np.ones(1)),
        )
    )
    choice = Choice(degree=8192, rescaling=Rescaling.EVERY, base_primes=1, rotate_input=True)
    draft = drafted(network, np.random.default_rng(0).random((8, 2)), choice)
    work = draft_operations(draft)
    # the input is fanned, so features already stand where the second output needs them: no rotation at level 2
    assert work[Kind.SQUARE, 2] == work[Kind.RELINEARIZE, 2] == work[Kind.RESCALE, 2] == 1
    assert work[Kind.ADD_PLAIN, 2] == 0  # no bias, so nothing to add
    assert work[Kind.ADD_PLAIN, 1] == 1
    assert work[Kind.MULTIPLY_PLAIN, 1] == 1
    assert work[Kind.ROTATE, 1] == 1  # the fold that adds the two squares
    assert work[Kind.ADD, 1] == 1
    assert work == plan_operations(draft.plan)


def test_work_is_counted_at_its_own_level():
    work = plan_operations(every_kind_plan())
    assert work[Kind.RESCALE, 2] == 1
    assert work[Kind.ROTATE, 1] == work[Kind.DROP, 2] == 1
    assert sum(work.values()) == len(every_kind_plan().ops)


def dense_draft(columns, seed=0):
    rng = np.random.default_rng(seed)
    weights = Weights(rng.normal(size=(4, columns)), np.array(1.0))
    network = Network(
        nodes=(
            Input(name="x", inputs=(), shape=(columns,)),
            Dense(name="fc", inputs=("x",), shape=(4,), weights=weights, bias=rng.normal(size=4)),
        )
    )
    choice = Choice(degree=8192, rescaling=Rescaling.EVERY, base_primes=1, rotate_input=False)
    return drafted(network, rng.random((4, columns)), choice)


def test_a_draft_costs_more_at_a_higher_level_and_in_a_larger_ring():
    draft = dense_draft(16)
    here = draft_milliseconds(draft, TIMES)
    assert here < draft_milliseconds(replace(draft, stage_levels=(2,)), TIMES)
    assert here < draft_milliseconds(replace(draft, choice=replace(draft.choice, degree=16384)), TIMES)


def test_times_of_kernels_add_up():
    draft = dense_draft(16)
    only = [
        KernelTimes(butterfly_ns=1.0, product_ns=0.0, addition_ns=0.0),
        KernelTimes(butterfly_ns=0.0, product_ns=3.0, addition_ns=0.0),
        KernelTimes(butterfly_ns=0.0, product_ns=0.0, addition_ns=1.0),
    ]
    assert draft_milliseconds(draft, TIMES) == pytest.approx(sum(draft_milliseconds(draft, t) for t in only))


def test_a_draft_costs_as_much_as_its_plan_under_seal():
    times = KernelTimes(butterfly_ns=1.1, product_ns=0.3, addition_ns=0.3, call_us=9.0)
    draft = dense_draft(16)
    plan = times.milliseconds(sum(plan_seal_kernels(draft.plan), KernelCounts()))
    assert draft_seal_milliseconds(draft, times) == pytest.approx(plan)
    assert draft_seal_milliseconds(draft, times) > draft_milliseconds(draft, times)


def test_a_plan_and_its_draft_have_the_same_predicted_time_with_a_cost_per_call():
    """The search orders choices by the draft's time.

    With a cost per call that time must agree with the plan's, up to additions to sums that are not divided yet.
    """
    times = KernelTimes(butterfly_ns=1.1, product_ns=0.3, addition_ns=0.3, call_us=9.0)
    draft = dense_draft(16)
    predicted = times.milliseconds(sum(engine_kernels(draft.plan), KernelCounts()))
    assert draft_milliseconds(draft, times) == pytest.approx(predicted, rel=0.05)
