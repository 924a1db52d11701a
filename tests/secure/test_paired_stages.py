"""Products of two values in the compiler: stages, layouts, noise, plans, both backends, and torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch import nn

from compress.conversion.exporting import export_network
from compress.graph.importing import import_model
from compress.network import Dense, Input, Multiply, Network, Weights
from secure.bounds import sources
from secure.bounds.assessment import row_errors
from secure.bounds.rounding import rounded_outputs
from secure.compiling.compile import compile_network
from secure.compiling.ways import Way
from secure.drafting import layouts
from secure.drafting.draft import Choice, Draft, Rescaling, gather_evidence
from secure.drafting.factors import widened
from secure.evaluators.clear import NoisyClearEvaluator, run_clear
from secure.kernels.counts import TYPICAL_TIMES
from secure.layout.diagonals import apply_table, folded_table
from secure.layout.factors import atom_map, both_factors, in_one, made_slots, pulled_slots
from secure.layout.packing import EMPTY, periodic_map, spread
from secure.limits import Limits
from secure.noise import planned_key_switch_variance
from secure.parties.client import Client
from secure.parties.server import Server
from secure.passes import run_passes
from secure.passes.choose_parameters import choose_parameters
from secure.passes.emit import emit
from secure.plan import Kind
from secure.stages.pairs import Making, activated, pulled
from secure.stages.stages import Stage, network_stages, run_stages
from secure.stages.trim import trimmed
from tests.secure.test_reach import Rounded, plan_outputs
from tests.secure.test_stages_nodes import NETWORKS, product_network

ROWS = np.random.default_rng(3).uniform(-1, 1, (40, 20))
BY_ITSELF, APART = "in one", "apart"


def gated(*sizes, seed=0):
    """Layer after layer, two maps of the value before and their product; then a linear output."""
    rng = np.random.default_rng(seed)
    nodes, last = [Input(name="x", inputs=(), shape=(sizes[0],))], "x"

    def dense(name, rows, columns, bias):
        weights = Weights(rng.normal(size=(rows, columns)) / np.sqrt(columns), np.array(1.0))
        return Dense(name=name, inputs=(last,), shape=(rows,), weights=weights, bias=bias * rng.normal(size=rows))

    for number, (columns, rows) in enumerate(zip(sizes[:-2], sizes[1:-1], strict=True)):
        pair = dense(f"a{number}", rows, columns, 0.2), dense(f"b{number}", rows, columns, 1.0)
        nodes += [*pair, Multiply(name=f"p{number}", inputs=(pair[0].name, pair[1].name), shape=(rows,))]
        last = f"p{number}"
    return Network(nodes=(*nodes, dense("out", sizes[-1], sizes[-2], 0.0)))


@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([0, -2]))
def test_the_derivative_of_a_product_of_halves_is_the_limit_of_differences(half, seed, axis):
    rng = np.random.default_rng(seed)
    value, change = rng.normal(size=(2, 2 * half, 3))
    by_atom = rng.normal(size=(half, 3))
    left, right = value[:half], value[half:]
    np.testing.assert_array_equal(activated(value, Making.PRODUCT, axis), left * right)
    exact = np.sum(pulled(value, by_atom, Making.PRODUCT, axis) * change)
    step = 1e-5
    sides = [np.sum(by_atom * activated(value + side * step * change, Making.PRODUCT, axis)) for side in (1, -1)]
    assert exact == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-6, abs=1e-6)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.sampled_from([1, 2, 4]), st.integers(0, 2**32 - 1), st.booleans())
def test_factors_in_slots_multiply_to_the_product_of_two_maps(rows, columns, groups, seed, side_by_side):
    """Both layouts, any sizes: every slot that the product's map names holds the product, and no feature is lost."""
    rng, slots = np.random.default_rng(seed), 256
    matrix, constant, x = rng.normal(size=(2 * rows, columns)), rng.normal(size=2 * rows), rng.normal(size=columns)
    stage = Stage({1: sparse.csr_matrix(matrix)}, constant, None, "fc", squared=True, paired=True)
    sources = {1: periodic_map(columns, slots)}
    try:
        if side_by_side:
            wide, half = widened(stage)
            table = in_one(folded_table(wide.maps, sources, wide.size, groups), rows, half)
        else:
            table = both_factors(*(folded_table(one.maps, sources, one.size, groups) for one in stage.halves))
    except ValueError:
        return  # so many shares do not fit
    assert table is not None
    assert (table.pairing > 0) == side_by_side
    value = apply_table(table, {1: spread(x, sources[1])}) + spread(constant, table.output_map)
    made, places = made_slots(value, table, Making.PRODUCT), atom_map(table, Making.PRODUCT)
    left, right = (matrix @ x + constant).reshape(2, rows)
    held = places != EMPTY
    np.testing.assert_allclose(made[held], (left * right)[places[held]], atol=1e-9)
    assert set(places[held].tolist()) == set(range(rows))
    by_atom, change = rng.normal(size=made.shape), rng.normal(size=value.shape)
    sides = [np.sum(by_atom * made_slots(value + side * 1e-5 * change, table, Making.PRODUCT)) for side in (1, -1)]
    exact = np.sum(pulled_slots(value, by_atom, table, Making.PRODUCT) * change)
    assert exact == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-5, abs=1e-5)


def test_two_factors_on_other_slots_are_no_product():
    sources = {1: periodic_map(4, 64)}
    tables = [folded_table({1: sparse.csr_matrix(np.ones((rows, 4)))}, sources, rows) for rows in (3, 6)]
    assert both_factors(*tables) is None


@pytest.mark.parametrize("name", ["product", "product of very different factors", "product of feature maps"])
def test_paired_stages_equal_the_network(name):
    network = NETWORKS[name]
    images = np.random.default_rng(1).uniform(-1, 1, (5, *network.input_shape))
    stages = trimmed(network_stages(network, products=True))
    assert [(stage.paired, stage.squared) for stage in stages] == [(True, True), (False, False)]
    assert stages[0].size == 2 * stages[0].atom_size
    np.testing.assert_allclose(run_stages(stages, images)[1][-1].T, network.run(images), atol=1e-9)


def test_trimming_keeps_the_product_of_constants():
    """Unit 0 is read by nobody, unit 1 is 2 * 3, unit 2 is x times a constant, unit 3 a product of inputs."""
    maps = np.zeros((8, 2))
    maps[0, 0] = maps[4, 0] = maps[2, 0] = maps[3, 0] = maps[7, 1] = 1.0
    first = Stage({0: sparse.csr_matrix(maps)}, np.array([0.0, 2, 0, 0, 0, 3, 5, 1]), None, "a", True, True)
    last = Stage({1: sparse.csr_matrix(np.array([[0.0, 1, 1, 1]]))}, np.zeros(1), None, "b", False)
    smaller = trimmed((first, last))
    assert smaller[0].atom_size == 2
    rows = np.random.default_rng(0).normal(size=(6, 2))
    np.testing.assert_allclose(run_stages(smaller, rows)[1][-1], run_stages((first, last), rows)[1][-1])


DRAFTS = {
    "in one, two planes": {"sizes": (20, 12, 3), "planes": 2},
    "in one, rescaled before": {"sizes": (20, 12, 8, 3), "rescaling": Rescaling.BEFORE_LAST, "degree": 16384},
    "apart": {"sizes": (20, 12, 3), "apart": True},
    "apart, rescaled before": {
        "sizes": (20, 12, 8, 3),
        "rescaling": Rescaling.BEFORE_LAST,
        "degree": 16384,
        "apart": True,
    },
}


SLOW = {"apart, rescaled before"}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in DRAFTS]
)
def draft(request):
    """A draft with parameters; every pass was followed by its checker."""
    options = {"planes": 1, "degree": 8192, "rescaling": Rescaling.EVERY, "apart": False, **DRAFTS[request.param]}
    stages = network_stages(gated(*options["sizes"]), products=True)
    choice = Choice(
        degree=options["degree"], rescaling=options["rescaling"], base_primes=1, rotate_input=True,
        planes=options["planes"],
    )  # fmt: skip
    start = Draft(stages=stages, evidence=gather_evidence(stages, ROWS), choice=choice, allowed_error=1e3)
    with pytest.MonkeyPatch.context() as patch:
        if options["apart"]:
            patch.setattr(layouts, "in_one_layout", lambda *_: None)
        made = choose_parameters(run_passes(start, stop=choose_parameters))
    assert [bool(table.pairing) != options["apart"] for table in made.tables[:-1]] == [True] * (len(made.tables) - 1)
    return made


def test_plans_with_products_pass_every_checker_and_compute_the_network(draft):
    plan = run_passes(draft, start=emit).plan
    stages = len(draft.stages) - 1
    assert plan.count(Kind.MULTIPLY) == plan.count(Kind.RELINEARIZE) == stages
    assert plan.count(Kind.SQUARE) == 0
    found = plan_outputs(draft, Rounded, ROWS)
    np.testing.assert_allclose(rounded_outputs(draft, ROWS), found, rtol=0, atol=1e-11)
    wanted = gated(*DRAFTS_SIZES[len(draft.stages), draft.stages[0].size]).run(ROWS).T
    assert np.abs(found - wanted).max() < 0.2 * np.abs(wanted).max()


DRAFTS_SIZES = {(len(one["sizes"]) - 1, 2 * one["sizes"][1]): one["sizes"] for one in DRAFTS.values()}


def test_predicted_random_errors_of_products_are_those_of_simulated_noise(draft, monkeypatch):
    # the simulation knows no baby steps: it charges every rotation the rounding that the engine leaves out there
    monkeypatch.setattr(sources, "planned_baby_variance", planned_key_switch_variance)
    errors = row_errors(draft, ROWS[:8])
    plan, random = run_passes(draft, start=emit).plan, []
    for seed in range(10):
        evaluator = NoisyClearEvaluator(plan, seed)
        found = plan_outputs(draft, lambda _, own=evaluator: own, ROWS[:8], evaluator.fresh)
        random.append(found - draft.evidence.outputs[:, :8] - errors.systematic)
    measured = np.sqrt(np.mean(np.square(random)))
    predicted = np.sqrt(np.mean(errors.mean_sigma**2))
    # the rotation of one factor is charged to both, since either may be the larger one
    assert 0.7 * predicted < measured < 1.1 * predicted


@pytest.mark.parametrize("sizes", [(12, 8, 3)])
def test_encrypted_products_stay_within_the_bound_on_both_backends(sizes, monkeypatch):
    """Plans for both backends, with squares ruled out."""
    monkeypatch.setattr("secure.compiling.compile.ways_of", lambda network: (Way.PRODUCTS,))
    network, rows = gated(*sizes), ROWS[:, : sizes[0]]
    wanted = network.run(rows)
    limits = Limits(max_error=0.1 * float(np.abs(wanted).max()), backends="both")
    bundle = compile_network(network, rows, times=TYPICAL_TIMES, limits=limits)
    assert bundle.server.plan.count(Kind.MULTIPLY) == len(sizes) - 2
    for backend in ("engine", "seal"):
        client, server = Client(bundle.client), Server(bundle.server, backend=backend)
        server.register(client.evaluation_key)
        found = np.array([client.decrypt(server.run(client.encrypt(row))) for row in rows[:2]])
        assert np.abs(found - wanted[:2]).max() <= bundle.client.predicted_logit_error


@pytest.mark.slow
def test_of_products_and_squares_the_cheaper_plan_wins():
    """Where one factor is a thousandth of the other, the difference of two squares loses digits: products win."""
    network = product_network(low=1e-3)
    rows = np.random.default_rng(0).uniform(-1, 1, (64, 5))
    limits = Limits(max_error=0.02 * float(np.abs(network.run(rows)).max()))
    prices = {}
    both = (Way.PRODUCTS, Way.SQUARES)
    for ways in ((Way.PRODUCTS,), (Way.SQUARES,), both):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("secure.compiling.compile.ways_of", lambda _, own=ways: own)
            prices[ways] = compile_network(network, rows, times=TYPICAL_TIMES, limits=limits)
    ms = {ways: bundle.report["predicted_server_ms"] for ways, bundle in prices.items()}
    assert ms[both] == min(ms.values())
    assert prices[both].client.bundle_id in {prices[ways].client.bundle_id for ways in ms if ways != both}


class Gate(nn.Module):
    """x times a polynomial of another map of x, as x * sigmoid(x) becomes; then a gate of one number per input."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.gate, self.one, self.down = nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(8, 1), nn.Linear(6, 3)

    def forward(self, x):
        return self.down(self.up(x) * (0.5 + self.gate(x)) * self.one(x))


def test_a_plan_with_products_equals_torch():
    torch.manual_seed(0)
    module = Gate().double().eval()
    rows = np.random.default_rng(2).uniform(-1, 1, (64, 8))
    with torch.no_grad():
        wanted = module(torch.tensor(rows)).numpy()
    network = export_network(import_model(module, (8,)).graph_module, (8,), rows)
    stages = network_stages(network, products=True)
    assert sum(stage.paired for stage in stages) == 2
    choice = Choice(degree=16384, rescaling=Rescaling.EVERY, base_primes=1, rotate_input=True)
    start = Draft(stages=stages, evidence=gather_evidence(stages, rows), choice=choice, allowed_error=1e3)
    made = run_passes(start)
    slots = made.atom_maps[0]
    outputs = run_clear(made.plan, list(spread(rows, slots).swapaxes(0, 1)))
    places = [np.argwhere(made.tables[-1].output_map == feature)[0] for feature in range(3)]
    found = np.stack([outputs[place][..., slot] for place, slot in places], axis=-1)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_factor_without_inputs_needs_no_product():
    network = gated(20, 12, 3)
    zero = replace(network.nodes[2], weights=Weights(np.zeros((12, 20)), np.array(1.0)))
    stages = network_stages(Network(nodes=(*network.nodes[:2], zero, *network.nodes[3:])), products=True)
    assert [stage.squared for stage in stages] == [False]
