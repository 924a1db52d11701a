"""Values carried twice by one ciphertext: pairs of rotations, complex constants, and which layouts take them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from secure.compiling.compile import bundle_of
from secure.drafting.doubling import FEWEST_DIAGONALS, doubled_layouts
from secure.drafting.draft import Choice, Draft, Rescaling, gather_evidence
from secure.drafting.placed import Placed
from secure.encoding import coefficients, encoding_error
from secure.kernels.counts import TYPICAL_TIMES
from secure.layout.diagonals import DiagonalKey, apply_table, folded_table, plane_constants
from secure.layout.doubled import monomial, product_rotations, signs
from secure.layout.packing import folded, periodic_map
from secure.passes import run_passes
from secure.passes.choose_rotations import choose_rotations
from secure.plan import Kind
from secure.stages.stages import network_stages
from secure.verify.roundtrip import round_trip
from tests.secure.random_networks import network, rows

SLOTS = 64
INPUTS = rows("correlated", 40, 20, 0)


@pytest.mark.parametrize(
    ("rotations", "steps", "products"),
    [
        (range(16), 8, 8),
        (range(16), 1, 8),
        (range(15), 1, 8),  # one stays alone
        ([14 * row + column for row in range(3) for column in range(3)], 1, 6),
        (range(0, SLOTS, 8), 8, 4),  # all the way round
        (range(0, 24, 8), 24, 3),  # no pair
        ([5], 3, 1),
        ([], 3, 0),
    ],
)
def test_rotations_are_paired_along_chains(rotations, steps, products):
    found = product_rotations(rotations, steps, SLOTS)
    assert set(found) == set(rotations)
    assert len(set(found.values())) == products
    for rotation, own in found.items():
        assert (rotation - own) % SLOTS in (0, steps)
        assert found[own] == own
    assert all(list(found.values()).count(own) <= 2 for own in found.values())


def test_the_monomial_is_exact_at_scale_one():
    held = coefficients(monomial(SLOTS))
    assert np.flatnonzero(np.abs(held) > 1e-9).tolist() == [SLOTS]  # X^(N / 2)
    assert held[SLOTS] == pytest.approx(1)
    assert np.abs(encoding_error(monomial(SLOTS), 1.0)).max() < 1e-12


def dense_table(seed, rows=16, columns=16):
    rng = np.random.default_rng(seed)
    matrix = sparse.csr_matrix(rng.normal(size=(rows, columns)))
    return folded_table({1: matrix}, {1: periodic_map(columns, SLOTS)}, rows), rng


@pytest.mark.parametrize("steps", [1, 3, 8, 15])
def test_products_of_a_doubled_value_are_those_of_the_table(steps):
    table, rng = dense_table(0)
    doubled = replace(table, doubled={1: steps})
    value = rng.normal(size=(1, SLOTS))
    twice = value[0] + monomial(SLOTS) * np.roll(value[0], -steps)
    constants = plane_constants(doubled, 1)
    assert len(constants) < len(table.diagonals)
    total = sum(np.roll(twice, -key.rotation) * constants[key] for key in constants)
    made = folded(total + total.conj(), table.folds)
    np.testing.assert_allclose(made, apply_table(table, {1: value})[0], atol=1e-12)
    np.testing.assert_allclose(apply_table(doubled, {1: value}), apply_table(table, {1: value}))


def test_of_single_diagonals_constants_stay_real():
    whole, _ = dense_table(1)
    table = replace(whole, diagonals={key: whole.diagonals[key] for key in whole.diagonals if key.rotation < 3})
    doubled = replace(table, doubled={1: 1})
    constants = plane_constants(doubled, 1)
    pair, alone = DiagonalKey(0, 1, 0, 0), DiagonalKey(0, 1, 0, 2)
    assert list(constants) == [pair, alone]
    assert np.iscomplexobj(constants[pair])
    np.testing.assert_array_equal(constants[pair].real, table.diagonals[pair] / 2)
    assert not np.iscomplexobj(constants[alone])
    np.testing.assert_array_equal(constants[alone], table.diagonals[alone] / 2)


def test_signs_alternate_from_the_rotation_on():
    assert signs(4).tolist() == [1, -1, 1, -1]
    assert signs(4, 3).tolist() == [-1, 1, -1, 1]


def test_layouts_with_many_diagonals_are_offered_with_values_twice():
    table, _ = dense_table(2)
    offers = list(doubled_layouts(Placed("rows one after the other", table)))
    assert [offer.layout for offer in offers] == ["rows one after the other, values twice"] * 2
    for offer in offers:
        assert len(plane_constants(offer.table, 1)) == len(table.diagonals) // 2


def test_few_diagonals_and_inputs_are_not_doubled():
    few, _ = dense_table(3, rows=FEWEST_DIAGONALS // 2, columns=FEWEST_DIAGONALS // 2)
    assert list(doubled_layouts(Placed("", few))) == []
    matrix = sparse.csr_matrix(np.random.default_rng(4).normal(size=(16, 16)))
    inputs = folded_table({0: matrix}, {0: periodic_map(16, SLOTS)}, 16)
    assert list(doubled_layouts(Placed("", inputs))) == []


@pytest.fixture(scope="module")
def bundle():
    """Of a network whose second and third stage read doubled values, for both backends."""
    net = network((20, 12, 8, 3), INPUTS, 3)
    stages = network_stages(net)
    choice = Choice(degree=8192, rescaling=Rescaling.EVERY, base_primes=1, rotate_input=True)
    draft = Draft(
        stages=stages, evidence=gather_evidence(stages, INPUTS), choice=choice, allowed_error=1e3, both_backends=True
    )
    arranged = run_passes(draft, stop=choose_rotations)
    tables = [replace(own, doubled={stage: 4} if stage else {}) for stage, own in enumerate(arranged.tables)]
    done = run_passes(replace(arranged, tables=tuple(tables)), start=choose_rotations)
    return bundle_of(net, done, (), TYPICAL_TIMES)


@pytest.mark.parametrize("backend", ["engine", "seal"])
def test_encrypted_answers_of_doubled_values_keep_to_the_bound(bundle, backend):
    kinds = [op.kind for op in bundle.server.plan.ops]
    assert kinds.count(Kind.CONJUGATE) >= 2  # one at the end of either doubled stage
    found = round_trip(bundle, INPUTS[:4].astype(np.float32), backend=backend)
    assert found["backend"] == backend
    assert 0 < found["max_logit_error"] < found["predicted_logit_error"]
