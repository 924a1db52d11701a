"""Products of two different ciphertexts: in clear, under SEAL, under the engine with both kinds of keys; checks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import FormatError, PlanError
from hwmodel.encrypted_counts import encrypted_workload
from secure.bundle.fields import Fields
from secure.bundle.plan_file import plan_content, read_latency_plan
from secure.engine import arithmetic, products
from secure.engine.evaluator import EngineBackend
from secure.engine.program import Kernel, assemble
from secure.engine.schedule import schedule
from secure.engine.team import ALONE
from secure.evaluators.adjoint import pull_back, record
from secure.evaluators.clear import ClearEvaluator, run_clear
from secure.evaluators.dry import dry_run
from secure.evaluators.walk import walk
from secure.kernels.counts import KernelCounts, operation_kernels
from secure.kernels.engine import engine_kernels
from secure.noise import fresh_variance
from secure.params import make_params
from secure.plan import Kind
from secure.seal.context import make_ring
from tests.secure.own_keys import OwnParty
from tests.secure.plans import SMALL, Builder, product_by_hand, product_plan
from tests.secure.test_engine import assert_same_as_seal
from tests.secure.test_tenseal_evaluator import Party

BIG = 2**30
#: Two special primes and a digit of two.
HYBRID = make_params(8192, [30, 30, 30], [34, 34], (2, 1))


def two_values(seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (2, SMALL.slots))


def lone_product():
    builder = Builder(inputs=2)
    return builder.build(builder.multiply(0, 1))


def test_clear_equals_numpy_by_hand():
    plan, (x, w) = product_plan(), two_values()
    for found, wanted in zip(run_clear(plan, [x, w]), product_by_hand(plan, x, w), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_product_under_the_engine_equals_that_of_seal_bit_for_bit():
    plan = lone_product()
    party, backend = Party(plan), EngineBackend(make_ring(plan.params), plan, BIG, None)
    inputs = [party.encrypt(slots) for slots in two_values()]
    (theirs,) = walk(plan, party.evaluator, inputs)
    (ours,) = backend.run(backend.evaluator(party.keys), [backend.load(one) for one in inputs])
    primes = np.array(plan.params.data_primes, dtype=np.float64)[:, None]
    np.testing.assert_array_equal(np.mod(ours.rows - backend.load(theirs).rows, primes), 0)


def test_sums_of_products_relinearized_once_equal_those_of_seal():
    plan = product_plan()
    assert plan.count(Kind.RELINEARIZE) == 2 and plan.count(Kind.MULTIPLY) == 3
    party = Party(plan)
    assert_same_as_seal(plan, party, EngineBackend(party.ring, plan, BIG, None))


def test_both_backends_decrypt_to_the_product():
    plan, (x, w) = product_plan(), two_values(3)
    for found, wanted in zip(Party(plan).run(x, w), product_by_hand(plan, x, w), strict=True):
        # weights at scale 2^14 are rounded to within about 0.001 in every slot; the first slots of SEAL are noisier
        assert np.abs(found[16:] - wanted[16:]).max() < 0.02


@pytest.mark.parametrize("params", [SMALL, HYBRID], ids=["one special prime", "hybrid"])
def test_keys_of_our_own_relinearize_products(params):
    """Without noise in the inputs, the phase of the output is the product of the messages and little more."""
    plan = product_plan(params=params)
    party = OwnParty(plan)
    x, w = np.random.default_rng(5).uniform(-1, 1, (2, params.slots))
    encoded = (party.engine.encode(message, params.levels, plan.input_scale, False) for message in (x, w))
    rows = [party.hidden(message, seed) for seed, message in enumerate(encoded)]  # c1 = 0 would leave nothing to switch
    found = party.coefficients(party.phase(party.run(*rows)[0]))
    scale, level = plan.scale_of(plan.outputs[0]), plan.level_of(plan.outputs[0])
    wanted = party.coefficients(party.engine.encode(product_by_hand(plan, x, w)[0], level, scale, False))
    assert np.abs(found - wanted).max() < 1e-2 * np.abs(wanted).max()


def test_the_error_of_a_product_is_that_of_the_formula():
    """x w + x e_w + w e_x + e_x e_w, whose variance is (x^2 + w^2) V / S^2 and the tiny V^2 / S^4 (derived)."""
    plan, (x, w) = lone_product(), two_values(4)
    builder = Builder(inputs=2)
    relinearized = builder.build(builder.relinearize(builder.multiply(0, 1)))
    error = Party(relinearized).run(x, w)[0] - x * w
    variance = fresh_variance(SMALL.poly_modulus_degree) / plan.input_scale**2
    # half of an error is imaginary; the switch of a product at scale 2^40 adds nothing that can be seen
    ratio = np.mean((error / np.sqrt((x**2 + w**2) * variance / 2)) ** 2)
    assert ratio == pytest.approx(1.0, rel=0.2)


def test_simulated_noise_has_that_size_too():
    builder = Builder(inputs=2)
    plan, (x, w) = builder.build(builder.relinearize(builder.multiply(0, 1))), two_values(5)
    error = run_clear(plan, [x, w], noise_seed=1)[0] - x * w
    variance = fresh_variance(SMALL.poly_modulus_degree) / plan.input_scale**2
    ratio = np.mean((error / np.sqrt((x**2 + w**2) * variance / 2)) ** 2)
    assert ratio == pytest.approx(1.0, rel=0.2)


def test_the_derivative_of_a_product_is_the_limit_of_differences():
    rng, plan = np.random.default_rng(6), product_plan()
    at, change, weights = rng.normal(size=(3, 2, SMALL.slots)) + 1j * rng.normal(size=(3, 2, SMALL.slots))

    def quantity(slots):
        tape = record(plan, ClearEvaluator(plan), list(slots), plan.outputs)
        return sum(
            float(np.sum((np.conj(w) * tape.values[v]).real)) for v, w in zip(plan.outputs, weights, strict=True)
        )

    tape = record(plan, ClearEvaluator(plan), list(at), plan.outputs)
    derivative = pull_back(tape, dict(zip(plan.outputs, weights, strict=True)))
    slope = sum(float(np.sum((np.conj(d) * c).real)) for d, c in zip(derivative, change, strict=True))
    assert slope == pytest.approx((quantity(at + 1e-5 * change) - quantity(at - 1e-5 * change)) / 2e-5, rel=1e-6)


def dropped_factor():
    builder = Builder(inputs=2)
    return builder.build(builder.multiply(builder.drop(0), 1))


# a plan, changes to its last operation, message
WRONG = [
    (lone_product(), {"args": (0,)}, r"operation multiply, value 2, reads \(0,\); 2 earlier values are needed"),
    (lone_product(), {"args": (0, 2)}, r"reads \(0, 2\); 2 earlier values are needed"),
    (lone_product(), {"args": (0, -1)}, r"reads \(0, -1\); 2 earlier values are needed"),
    (lone_product(), {"args": (0, 1, 1)}, "2 earlier values are needed"),
    (lone_product(), {"parts": 2}, "operation multiply says 2 parts, it has 3"),
    (lone_product(), {"scale": 2.0**20}, "operation multiply says scale"),
    (lone_product(), {"constant": 0}, "operation multiply reads constant 0, which it does not have"),
    (lone_product(), {"steps": 3}, "operation multiply has 3 steps and does not rotate"),
    (dropped_factor(), {}, "operation multiply multiplies levels 1 and 2"),
]


@pytest.mark.parametrize(("plan", "changes", "message"), WRONG)
def test_dry_run_refuses_a_wrong_product(plan, changes, message):
    ops = (*plan.ops[:-1], replace(plan.ops[-1], **changes))
    with pytest.raises(PlanError, match=message):
        dry_run(replace(plan, ops=ops))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_dry_run_refuses_a_factor_of_three_parts(order):
    builder = Builder(inputs=2)
    factors = (builder.square(0), 1)
    plan = builder.build(builder.multiply(*(factors[place] for place in order)))
    with pytest.raises(PlanError, match="multiplies a value that was not relinearized"):
        dry_run(plan)


def test_work_is_counted_by_hand():
    assert operation_kernels(Kind.MULTIPLY, 2, 4096) == KernelCounts(products=32768, additions=8192, calls=1)
    plan = lone_product()
    assert engine_kernels(plan) == (KernelCounts(additions=10 * 2 * 4096, calls=1),)
    assert dry_run(product_plan()).operations[Kind.MULTIPLY, 2] == 3


def test_the_cost_model_counts_the_operations_of_the_plan():
    plan = product_plan()
    work = encrypted_workload(plan)
    assert work.operations[Kind.MULTIPLY, 2] == plan.count(Kind.MULTIPLY) == 3
    (row,) = [row for row in work.rows if row.kind is Kind.MULTIPLY]
    assert row.ciphertext_bytes == 3 * (2 * 2 * 2 + 3 * 2) * 4096 * 8  # two values of two parts read, three written


def test_a_plan_file_holds_products_and_wrong_operands_are_refused():
    plan = product_plan()
    content = plan_content(plan)
    assert read_latency_plan(Fields("plan.json", content.fields), content.constants).ops == plan.ops
    place = next(number for number, op in enumerate(plan.ops) if op.kind is Kind.MULTIPLY)
    for args, error, message in (
        ([0, 99], PlanError, "earlier values are needed"),
        ([0], PlanError, "2 earlier values are needed"),
        ([0, "1"], FormatError, "missing or malformed"),
    ):
        columns = dict(content.fields["ops"])
        columns["args"] = [args if number == place else own for number, own in enumerate(columns["args"])]
        with pytest.raises(error, match=message):
            dry_run(read_latency_plan(Fields("plan.json", {**content.fields, "ops": columns}), content.constants))


def test_a_factor_is_kept_until_its_last_reader():
    """The program reads both factors; the place of one that is read again is not given to another array."""
    builder = Builder(inputs=2)
    first, second = builder.drop(0), builder.drop(1)
    both = builder.multiply(first, second)
    again = builder.multiply(second, first)
    plan = builder.build(builder.relinearize(builder.add(both, again)))
    program = assemble(plan, schedule(plan), 1)
    made = [one for one in program.instructions if one.kernel is Kernel.MULTIPLY]
    assert [one.arrays[1:3] for one in made] == [made[0].arrays[1:3], made[0].arrays[1:3][::-1]]
    assert made[1].arrays[0] not in (*made[0].arrays[1:3], made[0].arrays[0])
    assert_same_as_seal(plan, (party := Party(plan)), EngineBackend(party.ring, plan, BIG, None))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 3), st.integers(0, 2**32 - 1), st.booleans())
def test_the_kernel_equals_whole_numbers(level, seed, extreme):
    """Residues at the ends of what is stored and random ones; a value times itself is its square."""
    rng, primes = np.random.default_rng(seed), HYBRID.data_primes[:level]
    most = [int(0.9 * prime) for prime in primes]
    left, right = (
        np.array([[rng.choice([-m, m, m - 1], 64) if extreme else rng.integers(-m, m, 64) for m in most] for _ in "01"])
        for _ in "xy"
    )
    moduli = np.array([[prime, 1 / prime] for prime in primes])
    result = np.empty((3, level, 64))
    products.multiply(ALONE, left.astype(float), right.astype(float), result, moduli)
    (a0, a1), (b0, b1) = left.astype(object), right.astype(object)
    for found, wanted in zip(result, (a0 * b0, a0 * b1 + a1 * b0, a1 * b1), strict=True):
        for row, exact, prime in zip(found, wanted, primes, strict=True):
            assert all((int(one) - other) % prime == 0 for one, other in zip(row, exact, strict=True))
            assert np.abs(row).max() <= 0.9 * prime
    square = np.empty_like(result)
    products.multiply(ALONE, left.astype(float), left.astype(float), result, moduli)
    arithmetic.square(ALONE, left.astype(float), square, moduli)
    column = np.array(primes, dtype=float)[:, None]
    np.testing.assert_array_equal(np.mod(result - square, column), 0)
