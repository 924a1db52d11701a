"""Residual networks of several squarings, compiled and run under encryption."""

from functools import cache

import numpy as np
import pytest

from benchmarks.compile_networks import dense, residual_stages
from secure.bounds.edges import EXPLODING, gather_edges
from secure.compiling import search
from secure.compiling.compile import compile_network
from secure.drafting.draft import Rescaling, gather_evidence
from secure.limits import Limits
from secure.plan import Kind
from secure.stages.stages import network_stages
from secure.verify.roundtrip import clear_outputs, encrypted_outputs
from tests.secure.test_compiling_layers import TIMES

#: Blocks of every stage, by the number of squarings.
BLOCKS = {3: (1,), 7: (1, 1, 1)}


@pytest.fixture(params=sorted(BLOCKS))
def compiled(request):
    return made(request.param)


@cache  # a fixture of the module is made again whenever its parameter changes, in a random order at almost every test
def made(squarings):
    """(network, inputs, bundle) of a residual network of 4-8-16 channels on 8x8, in the first ring that carries it.

    Only rescales before the squares are tried for the deeper one, to save time.
    """
    network = residual_stages(BLOCKS[squarings], 4, 8)
    inputs = np.random.default_rng(1).uniform(-1, 1, (40, *network.input_shape))
    every = search._choices

    def few(*args):
        wanted = Rescaling.BEFORE if squarings > 3 else Rescaling.EVERY
        return [
            one
            for one in every(*args)
            if one.rescaling is wanted and one.rescale_primes == one.planes == 1 and one.rotate_input
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_choices", few)
        bundle = compile_network(network, inputs, times=TIMES, limits=Limits(max_error=1.0))
    return network, inputs, bundle


def test_a_residual_network_takes_one_level_per_squaring(compiled, request):
    _, _, bundle = compiled
    plan = bundle.server.plan
    squares = plan.count(Kind.SQUARE)
    assert squares in BLOCKS
    assert plan.depth == squares
    assert plan.count(Kind.RESCALE) == squares


def test_strides_leave_one_ciphertext(compiled):
    """Values of half the size and twice the channels lie in the gaps: every square is one of a single ciphertext."""
    network, _, bundle = compiled
    taken = [offer["layout"] for row in bundle.report["layouts"] for offer in row["offers"] if offer["taken"]]
    assert all(layout.startswith("multiplexed") for layout in taken[:-1])
    assert bundle.server.plan.count(Kind.SQUARE) == len(taken) - 1


def test_the_answers_stay_within_the_bound(compiled):
    network, inputs, bundle = compiled
    found, _ = encrypted_outputs(bundle, inputs[:2], lambda label, share: None)
    clear = clear_outputs(bundle, inputs[:2])
    assert np.abs(clear - network.run(inputs[:2])).max() < 1e-4
    error = np.abs(found - clear).max()
    assert 0 < error <= bundle.client.predicted_logit_error <= 1.0


def test_edge_inputs_on_which_the_network_explodes_are_left_out_and_counted():
    """Squares of squares: a range far beyond the data makes values that no modulus holds, a wide one does not."""
    network = dense(6, 5, 3)
    stages, inputs = network_stages(network), np.random.default_rng(0).uniform(-1, 1, (30, 6))
    evidence = gather_evidence(stages, inputs)
    for reach, some in ((1.2, False), (1e3, True)):
        edges, left_out = gather_edges(stages, inputs, np.full(6, -reach), np.full(6, reach), evidence=evidence)
        everything, none = gather_edges(stages, inputs, np.full(6, -reach), np.full(6, reach))
        assert (left_out > 0) is some
        assert none == 0
        for value, usual, whole in zip(edges.values, evidence.values, everything.values, strict=True):
            assert np.abs(value).max() <= EXPLODING * np.abs(usual).max()
            assert np.abs(value).max() <= np.abs(whole).max()
