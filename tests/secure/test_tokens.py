"""Networks of tokens: which values are kept, the order of rows, their layouts by hand, and encrypted answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from compress.conversion.exporting import export_network
from compress.conversion.friendly import replace_operations
from compress.graph.importing import import_model
from compress.network import Dense, Input, Multiply, Network, Weights
from secure.compiling.compile import bundle_of, compile_network
from secure.compiling.search import START
from secure.compiling.ways import Way, planned_sizes, stages_in, ways_of
from secure.drafting.draft import Choice, Draft, Rescaling, gather_evidence
from secure.drafting.tokens import summed_sources, token_input
from secure.kernels.counts import TYPICAL_TIMES
from secure.layout.packing import EMPTY, periodic_map
from secure.limits import Limits
from secure.parties.client import Client
from secure.parties.server import Server
from secure.passes import run_passes
from secure.passes.arrange import arrange
from secure.passes.checkers import check_arranged
from secure.plan import Kind
from secure.stages.pairs import Making, activated, pulled
from secure.stages.stage import Stage
from secure.stages.stages import run_stages
from secure.stages.token_order import Tokens, node_tokens, token_order
from secure.stages.tokens import token_stages
from secure.verify.roundtrip import clear_outputs
from tests.compress.test_attention import SPELLINGS, TOKENS, WIDTH
from tests.secure.token_networks import transformer

CASES = {
    "one block": {},
    "two blocks": {"depth": 2},
    "five tokens, six features, one head": {"tokens": 5, "width": 6, "heads": 1, "hidden": 10},
    "a class token": {"class_token": True, "depth": 2},
    "no skips": {"skips": False, "depth": 2},
}


def test_rows_of_one_token_each_have_tokens_fastest():
    rows, size = token_order(Tokens(np.array([0, 0, 1, 1, 2, 2])), 3)
    assert (rows.tolist(), size) == ([0, 4, 1, 5, 2, 6], 8)  # three tokens have the room of four


def test_rows_of_pairs_are_ordered_by_the_difference_of_their_tokens():
    own, other = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    rows, size = token_order(Tokens(own, other), 2)
    # (0, 0) and (1, 1) differ by none and come first, each at its own token; one feature per pair
    assert (rows.tolist(), size) == ([0, 2, 3, 1], 4)


def test_a_kept_value_is_its_own_atom_and_passes_derivatives_on():
    rng = np.random.default_rng(0)
    value, by_atom = rng.normal(size=(2, 4, 3))
    assert activated(value, Making.KEPT) is value
    np.testing.assert_array_equal(pulled(value, by_atom, Making.KEPT), by_atom)
    assert (Making.KEPT.power, Making.PRODUCT.power) == (1, 2)


@pytest.mark.parametrize("case", CASES)
def test_the_stages_answer_what_torch_answers(case):
    network, rows, wanted = transformer(**CASES[case])
    found = run_stages(token_stages(network), rows)[1][-1].T
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_values_are_kept_before_products_of_tokens_and_after_sums_over_them():
    network, _, _ = transformer(depth=2)
    made = [(stage.making if stage.squared else "last", stage.size) for stage in token_stages(network)]
    tokens, features, hidden = 4, 8, 16
    pairs = tokens * tokens * features
    block = [
        (Making.KEPT, 4 * tokens * features),  # the skip, queries, keys and values
        (Making.PRODUCT, 2 * pairs),
        (Making.PRODUCT, 2 * pairs),
        (Making.KEPT, tokens * features),
        (Making.SQUARE, tokens * hidden),
    ]
    assert made == [*block, *block, ("last", 3)]


BLOCK = [Making.KEPT, Making.PRODUCT, Making.PRODUCT]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("packed, turned back", BLOCK),
        ("multihead of two values", BLOCK),
        ("one head", BLOCK),  # scores of two axes are pairs too, and are not kept
        ("encoder", [*BLOCK, Making.KEPT, Making.SQUARE] * 2),  # normalization last: what it makes is the skip
    ],
)
def test_attention_of_any_spelling_gets_the_same_stages(name, made):
    torch.manual_seed(0)
    x = torch.randn(40, TOKENS, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    student, _ = replace_operations(import_model(SPELLINGS[name]().double().eval(), (TOKENS, WIDTH)), x)
    network = export_network(student, (TOKENS, WIDTH), x.numpy())
    stages = token_stages(network)
    assert [stage.making for stage in stages if stage.squared] == made
    found = run_stages(stages, x.numpy())[1][-1].T
    np.testing.assert_allclose(found, network.run(x.numpy()).reshape(len(x), -1), atol=1e-12)


def test_a_network_without_products_of_different_tokens_has_no_such_stages():
    weights = Weights(np.ones((4, 4)), np.array(1.0))
    dense = [Dense(name=name, inputs=("x",), shape=(3, 4), weights=weights, bias=np.zeros(4)) for name in "ab"]
    gate = Multiply(name="p", inputs=("a", "b"), shape=(3, 4))
    network = Network(nodes=(Input(name="x", inputs=(), shape=(3, 4)), *dense, gate))
    assert node_tokens(network) == ({}, 0)
    assert token_stages(network) == ()
    assert ways_of(network) == (Way.PRODUCTS, Way.SQUARES)


def test_networks_whose_combined_maps_are_large_are_planned_by_tokens(monkeypatch):
    network, _, _ = transformer()
    assert ways_of(network) == (Way.PRODUCTS, Way.SQUARES)
    monkeypatch.setattr("secure.compiling.ways.FEWEST_KEPT", 1000)
    assert ways_of(network) == (Way.PRODUCTS, Way.TOKENS)
    monkeypatch.setattr("secure.compiling.ways.MOST_COMBINED", 1000)
    assert ways_of(network) == (Way.TOKENS,)
    sizes = planned_sizes(network)
    assert [own.values for own in sizes] == [stage.size for stage in stages_in(network, Way.TOKENS)]


def test_a_sum_over_half_of_the_columns_is_taken_before_the_products():
    half = np.array([[1.0, 2.0], [0.0, 3.0]])
    maps = {1: sparse.csr_matrix(np.hstack([half] * 4)), 2: sparse.csr_matrix(half)}
    found = summed_sources(maps, {1: periodic_map(8, 16), 2: periodic_map(2, 16)})
    assert found.presums == {1: (2, 4)}
    np.testing.assert_array_equal(found.maps[1].toarray(), half)
    np.testing.assert_array_equal(found.sources[1], periodic_map(2, 16))
    assert found.maps[2] is maps[2]


def test_a_map_without_entries_sums_up_nothing():
    found = summed_sources({1: sparse.csr_matrix((2, 8))}, {1: periodic_map(8, 16)})
    assert found.presums == {}


def test_the_input_is_sent_by_tokens():
    """Two tokens of three pixels, one of them read by nobody: pixel p of token i lies at 2 p + i."""
    matrix = np.zeros((4, 6))  # row f * 2 + i
    matrix[0, [0, 1]] = matrix[1, [3, 4]] = matrix[3, 5] = 1.0
    stage = Stage({0: sparse.csr_matrix(matrix)}, np.zeros(4), None, "a", True, kept=True, tokens=2)
    found = token_input(stage, 16)
    assert found.tolist() == [[0, 3, 1, 4, EMPTY, 5, EMPTY, EMPTY] * 2]
    both = Stage({0: sparse.csr_matrix(np.ones((2, 6)))}, np.zeros(2), None, "a", True, kept=True, tokens=2)
    assert token_input(both, 16) is None


@pytest.mark.parametrize("degree", [1024, 4096])
def test_diagonals_of_a_block_as_counted_by_hand(degree):
    """Eight tokens of 16 features in 512 slots (pairs in two ciphertexts each), and in 2048 (in one)."""
    network, rows, _ = transformer(tokens=8, width=16, heads=2, hidden=16, pixels=16)
    stages = token_stages(network)
    start = Draft(stages=stages, evidence=gather_evidence(stages, rows), choice=replace(START, degree=degree))
    draft = arrange(start)
    check_arranged(draft)
    kept, scores, mixed, after, *_ = draft.tables
    assert len(kept.diagonals) == 16  # a rotation for every difference of features
    if degree == 4096:
        # queries: by 0, 1, 2 and 3 periods of 128, as the value read repeats with four of them. Keys: by every
        # difference of tokens, and by that less eight where the token goes round
        assert scores.output_map.shape[0] == 2
        assert len([key for key in scores.diagonals if key.output == 0]) == 4
        # a sum over the features of a head: differences of -7 to 7, which leave no period
        assert len([key for key in mixed.diagonals if key.output == 0]) == 15
        assert after.presums == {3: (128, 256, 512)}  # over the eight differences of tokens


def encrypted_answers(bundle, rows):
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key)
    return np.array([client.decrypt(server.run(client.encrypt(row))) for row in rows])


def test_encrypted_answers_stay_within_their_bound_of_torch():
    network, rows, wanted = transformer()
    stages = token_stages(network)
    choice = Choice(degree=8192, rescaling=Rescaling.BEFORE, base_primes=1, rotate_input=True)
    error = 0.3 * float(np.sqrt(np.mean(wanted**2)))
    draft = run_passes(Draft(stages=stages, evidence=gather_evidence(stages, rows), choice=choice, allowed_error=error))
    bundle = bundle_of(network, draft, (), TYPICAL_TIMES)
    np.testing.assert_allclose(clear_outputs(bundle, rows), wanted, atol=1e-5 * np.abs(wanted).max())
    found = encrypted_answers(bundle, rows[:3])
    assert np.abs(found - wanted[:3]).max() <= bundle.client.predicted_logit_error <= error


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_compiled_networks_of_tokens_answer_within_their_bounds(case, monkeypatch):
    monkeypatch.setattr("secure.compiling.compile.ways_of", lambda network: (Way.TOKENS,))
    options = CASES[case]
    network, rows, wanted = transformer(**options)
    limits = Limits(max_error=0.3 * float(np.sqrt(np.mean(wanted**2))))
    bundle = compile_network(network, rows, times=TYPICAL_TIMES, limits=limits)
    np.testing.assert_allclose(clear_outputs(bundle, rows), wanted, atol=1e-5 * np.abs(wanted).max())
    assert bundle.server.plan.count(Kind.MULTIPLY) == 2 * options.get("depth", 1)
    assert bundle.server.plan.count(Kind.SQUARE) == options.get("depth", 1)
    assert np.abs(encrypted_answers(bundle, rows[:3]) - wanted[:3]).max() <= bundle.client.predicted_logit_error
