"""The engine computes what SEAL computes: its transform against the definition, its operations bit for bit, its key switches within the noise."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tenseal.sealapi as sealapi
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import BackendError, PlanError
from secure.engine.arithmetic import add_four_products, add_product, add_switched
from secure.engine.base_change import digits_of, divide, divide_jointly
from secure.engine.buffers import LINE_BYTES, Arena, Workspaces
from secure.engine.evaluator import EngineBackend, Residues
from secure.engine.ring import EngineRing, key_rows
from secure.engine.schedule import Form, schedule
from secure.engine.tables import bit_reversed, engine_order, make_tables, rotation_order, smallest_root
from secure.engine.team import ALONE
from secure.engine.transform import backward, forward
from secure.evaluators.clear import run_clear
from secure.evaluators.walk import walk
from secure.noise import centred_key_switch_variance, fresh_variance
from secure.params import make_params
from secure.parties.backends import BackendName, make_backend
from secure.parties.client import Client
from secure.parties.server import Server
from secure.plan import galois_element
from secure.seal.context import from_bytes, make_ring
from tests.secure.plans import (
    FLAT,
    SMALL,
    Builder,
    baby_giant_plan,
    complex_plan,
    every_kind_plan,
    small_bundle,
    small_bundle_by_hand,
)
from tests.secure.test_tenseal_evaluator import Party, uniform

BIG = 2**30


def residues(prime, shape, seed=0):
    """Centred, the extremes among them."""
    values = np.random.default_rng(seed).integers(-(prime // 2), prime // 2, shape, endpoint=True).astype(float)
    values.flat[:2] = prime // 2, -(prime // 2)
    return values


def value_at(coefficients, point, prime):
    total = 0
    for coefficient in reversed(coefficients.astype(np.int64).tolist()):
        total = (total * point + coefficient) % prime
    return total


@pytest.mark.parametrize("degree", [4096, 8192, 16384, 32768])
@pytest.mark.parametrize("bits", [25, 50])
def test_the_transform_evaluates_at_seals_roots_and_comes_back(degree, bits):
    params = make_params(degree, [bits], None)
    tables, prime = make_tables(params), params.data_primes[0]
    wanted = residues(prime, degree)
    row, scratch = wanted.copy(), np.empty(degree)
    forward(row, scratch, 0, tables)
    root, exponents, order = smallest_root(prime, degree), 2 * bit_reversed(degree) + 1, engine_order(degree)
    for place in (0, 1, 63, degree // 2, degree - 1):
        point = pow(root, int(exponents[order[place]]), prime)
        assert (int(row[place]) - value_at(wanted, point, prime)) % prime == 0
    assert np.abs(row).max() <= prime / 2 + 1
    backward(row, scratch, 0, tables)
    np.testing.assert_array_equal(np.mod(row - wanted, prime), 0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), degree=st.sampled_from([4096, 8192, 16384, 32768]))
def test_transforms_of_the_largest_residues_come_back(seed, degree):
    """Everything at plus or minus 0.9 p, the most that is ever stored, at the largest prime."""
    params = make_params(degree, [50], None)
    tables, prime = make_tables(params), params.data_primes[0]
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], degree)
    for transform, back in ((forward, backward), (backward, forward)):
        wanted = signs * int(0.9 * prime)
        row, scratch = wanted.copy(), np.empty(degree)
        transform(row, scratch, 0, tables)
        assert np.abs(row).max() < 0.9 * prime
        back(row, scratch, 0, tables)
        np.testing.assert_array_equal(np.mod(row - wanted, prime), 0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), bits=st.integers(20, 50))
def test_products_of_transforms_are_negacyclic_convolutions(seed, bits):
    degree = 4096
    params = make_params(degree, [bits], None)
    tables, prime = make_tables(params), params.data_primes[0]
    rng = np.random.default_rng(seed)
    power, factor = int(rng.integers(degree)), int(rng.integers(1, prime))
    polynomial = residues(prime, degree, seed)
    monomial = np.zeros(degree)
    monomial[power] = factor
    left, right, scratch = polynomial.copy(), monomial.copy(), np.empty(degree)
    forward(left, scratch, 0, tables)
    forward(right, scratch, 0, tables)
    product = np.array([int(a) * int(b) % prime for a, b in zip(left, right, strict=True)], dtype=float)
    backward(product, scratch, 0, tables)
    shifted = [int(c) * factor % prime for c in polynomial]
    wanted = [-c % prime for c in shifted[degree - power :]] + shifted[: degree - power]
    assert [int(c) % prime for c in product] == wanted


@pytest.mark.parametrize("steps", [1, 5, 2047])
def test_a_rotation_moves_values_as_the_automorphism_does(steps):
    degree, prime = 4096, SMALL.data_primes[0]
    tables, element = make_tables(SMALL), galois_element(steps, degree)
    polynomial, scratch = residues(prime, degree), np.empty(degree)
    image = np.zeros(degree)
    for power in range(degree):
        moved = power * element % (2 * degree)
        image[moved % degree] = polynomial[power] if moved < degree else -polynomial[power]
    forward(polynomial, scratch, 0, tables)
    forward(image, scratch, 0, tables)
    np.testing.assert_array_equal(np.mod(image, prime), np.mod(polynomial[rotation_order(element, degree)], prime))


def test_a_division_rounds_to_the_nearest():
    tables, degree = make_tables(SMALL), 4096
    first, last = SMALL.data_primes[0], SMALL.special_prime
    quotient = residues(2**20, degree)
    remainder = residues(last, degree, seed=1)
    value = np.stack(
        [[(int(q) * last + int(r)) % p for q, r in zip(quotient, remainder, strict=True)] for p in (first, last)]
    )
    value, scratch = value.astype(float), np.empty(degree)
    forward(value[0], scratch, 0, tables)
    forward(value[1], scratch, len(tables.primes) - 1, tables)
    quotient = np.empty((1, 1, degree))
    divide(ALONE, value[None], True, quotient, np.empty((3, degree)), tables)
    result = quotient[0, 0]
    backward(result, scratch, 0, tables)
    np.testing.assert_array_equal(np.mod(result - quotient, first), 0)


def test_digits_are_the_residues_themselves():
    tables, degree = make_tables(SMALL), 4096
    part = np.stack([residues(prime, degree, seed) for seed, prime in enumerate(SMALL.data_primes)])
    values, scratch = part.copy(), np.empty(degree)
    for row in range(2):
        forward(values[row], scratch, row, tables)
    digits = np.empty((2, 3, degree))
    digits_of(ALONE, values, digits, np.empty((3, degree)), tables)
    for digit in range(2):
        for row, which in ((0, 0), (1, 1), (2, 2)):
            coefficients = digits[digit, row].copy()
            backward(coefficients, scratch, which, tables)
            np.testing.assert_array_equal(np.mod(coefficients - part[digit], tables.primes[which]), 0)


def one_of(kind):
    builder = Builder()
    weights = np.random.default_rng(2).uniform(-1, 1, SMALL.slots)
    match kind:
        case "multiply":
            result = builder.multiply_plain(0, weights, 2.0**10)
        case "add":
            result = builder.add(0, 0)
        case "add plain":
            result = builder.add_plain(0, weights)
        case "square":
            result = builder.square(0)
        case "rescale":
            result = builder.rescale(0)
        case _:
            result = builder.drop(0)
    return builder.build(result)


@pytest.mark.parametrize("kind", ["multiply", "add", "add plain", "square", "rescale", "drop"])
def test_what_needs_no_key_equals_seal_bit_for_bit(kind):
    plan = one_of(kind)
    party, backend = Party(plan), EngineBackend(make_ring(plan.params), plan, BIG, None)
    ciphertext = party.encrypt(uniform())
    (seal_result,) = walk(plan, party.evaluator, [ciphertext])
    (ours,) = backend.run(backend.evaluator(party.keys), [backend.load(ciphertext)])
    theirs = backend.load(seal_result).rows
    primes = np.array(plan.params.data_primes[: theirs.shape[1]], dtype=np.float64)[:, None]
    # a product near half of a prime may be kept on either side of it
    np.testing.assert_array_equal(np.mod(ours.rows - theirs, primes), 0)
    assert np.abs(ours.rows / primes).max() < 0.5 + 1e-4


def test_saved_bytes_load_into_seal_unchanged():
    plan = one_of("drop")
    party = Party(plan)
    backend = EngineBackend(party.ring, plan, BIG, None)
    value = backend.load(party.encrypt(uniform()))
    native = from_bytes(sealapi.Ciphertext(), party.ring, backend.save(value), "saved", BIG)
    np.testing.assert_array_equal(backend.load(native).rows, value.rows)


def switched_plan(name):
    builder = Builder()
    once = builder.rotate(0, 5)
    match name:
        case "one":
            return builder.build(once), 1
        case "two of one value, added":
            return builder.build(builder.add(once, builder.rotate(0, 9))), 2
        case "added to a plain value":
            return builder.build(builder.add(builder.rotate(0, 9), 0)), 1
        case "constant added":
            return builder.build(builder.add_plain(once, uniform(3))), 1
        case _:
            return builder.build(builder.rotate(once, 7)), 2


@pytest.mark.parametrize(
    "name", ["one", "two of one value, added", "added to a plain value", "constant added", "twice in a row"]
)
def test_key_switches_are_within_the_noise_model(name):
    plan, switches = switched_plan(name)
    party = Party(plan)
    backend = EngineBackend(party.ring, plan, BIG, None)
    slots = uniform()
    (ours,) = backend.run(backend.evaluator(party.keys), [backend.load(party.encrypt(slots))])
    native = from_bytes(sealapi.Ciphertext(), party.ring, backend.save(ours), "saved", BIG)
    found = party.decrypt(native, plan.input_scale)
    (wanted,) = run_clear(plan, [slots])
    variance = 4 * fresh_variance(4096) + switches * centred_key_switch_variance(SMALL, 2)
    error = np.sqrt(np.mean((found - wanted) ** 2)) * plan.input_scale
    assert error < 1.3 * np.sqrt(variance)
    assert error > 0.3 * np.sqrt(fresh_variance(4096))


def test_every_kind_together_equals_clear():
    plan = every_kind_plan()
    party = Party(plan)
    backend = EngineBackend(party.ring, plan, BIG, None)
    assert_same_as_seal(plan, party, backend)
    assert_same_as_seal(plan, party, EngineBackend(party.ring, plan, 0, None))  # constants encoded at every use


def test_products_of_values_still_to_be_divided_equal_seals():
    plan = baby_giant_plan()
    forms = {form for _, form in schedule(plan).constants}
    assert forms == {Form.EXTENDED, Form.LIFTED}
    party = Party(plan)
    backend = EngineBackend(party.ring, plan, BIG, None)
    assert_same_as_seal(plan, party, backend)
    assert_same_as_seal(plan, party, EngineBackend(party.ring, plan, 0, None))
    inputs = [backend.load(party.encrypt(uniform()))]
    evaluator = backend.evaluator(party.keys)
    first, second = backend.run(evaluator, inputs), backend.run(evaluator, inputs)  # with arrays used before
    np.testing.assert_array_equal(first[0].rows, second[0].rows)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([24, 36, 50]), count=st.integers(1, 20))
def test_sums_of_products_are_exact_at_the_extremes(seed, bits, count):
    """Every residue at plus or minus 0.9 p, every constant at p / 2: the largest that any value gets."""
    degree, tables = 4096, make_tables(make_params(4096, [bits], None))
    prime, rng = int(tables.primes[0]), np.random.default_rng(seed)
    moduli = np.stack([tables.primes, tables.inverses], axis=1)
    shape, wanted = (count, 2, 1, degree), np.zeros((2, 1, degree), dtype=object)
    values = rng.choice([-1.0, 1.0], shape) * (np.floor(0.9 * prime) - rng.integers(0, 3, shape))
    plains = rng.choice([-1.0, 1.0], (count, 1, degree)) * (prime // 2)
    for value, plain in zip(values, plains, strict=True):
        wanted += value.astype(np.int64).astype(object) * plain.astype(np.int64).astype(object)
    total, place = np.empty((2, 1, degree)), 0
    while place < count:
        if place + 4 <= count:
            add_four_products(ALONE, total, place == 0, *values[place : place + 4], *plains[place : place + 4], moduli)
            place += 4
        else:
            add_product(ALONE, total, place == 0, values[place], plains[place], moduli)
            place += 1
    assert (((total.astype(np.int64).astype(object) - wanted) % prime) == 0).all()
    assert np.abs(total).max() < 0.9 * prime


@pytest.mark.parametrize("bits", [30, 50])
def test_switched_digits_at_the_extremes_are_exact(bits):
    level, degree = 8, 4096
    tables = make_tables(make_params(4096, [bits] * level, bits))
    rows = [*range(level), level]
    moduli = np.stack([tables.primes[rows], tables.inverses[rows]], axis=1)
    rng, primes = np.random.default_rng(1), tables.primes.astype(np.int64).astype(object)
    signs = [rng.choice([-1.0, 1.0], shape) for shape in ((level, level + 1, degree), (level, 2, level + 1, degree))]
    digits = signs[0] * np.rint(0.9 * moduli[:, 0])[:, None]
    key = signs[1] * (moduli[:, 0] // 2)[:, None]
    carried = np.broadcast_to(np.rint(0.9 * moduli[:level, 0])[:, None], (1, level, degree)).copy()
    order = rng.permutation(degree).astype(np.int32)
    total = np.empty((2, level + 1, degree))
    exact = np.array([digits.astype(np.int64).astype(object)[:, None] * key.astype(np.int64).astype(object)])[0].sum(0)
    exact[0, :level] += carried[0].astype(np.int64).astype(object) * int(primes[-1])
    for fresh in (True, False):
        scratch = np.empty((2, degree))
        add_switched(ALONE, total, fresh, digits, key, carried, tables.special, order, moduli, scratch)
    difference = total.astype(np.int64).astype(object) - 2 * exact[..., order]
    assert ((difference % primes[rows][:, None]) == 0).all()
    assert (np.abs(total) < 0.9 * moduli[:, :1]).all()


@pytest.mark.parametrize("bits", [30, 50])
def test_a_joint_division_is_one_by_the_product(bits):
    degree, params = 4096, make_params(4096, [bits] * 3, bits)
    tables, scratch = make_tables(params), np.empty((4, degree))
    first, second, last = params.data_primes
    divisor = params.special_prime * last
    rng = np.random.default_rng(0)
    quotients = [int(v) for v in rng.integers(-(2**50), 2**50, degree)]
    whole = [
        q * divisor + int(r * divisor) for q, r in zip(quotients, rng.uniform(-0.4999, 0.4999, degree), strict=True)
    ]
    value = np.array([[w % p for w in whole] for p in (*params.data_primes, params.special_prime)], dtype=float)
    for row in range(4):
        value[row] = np.where(value[row] > tables.primes[row] / 2, value[row] - tables.primes[row], value[row])
        forward(value[row], scratch[0], row, tables)
    result = np.empty((2, 2, degree))
    divide_jointly(ALONE, np.stack([value, value]), result, scratch, tables)
    for row, prime in enumerate((first, second)):
        backward(result[1, row], scratch[0], row, tables)
        found = result[1, row].astype(np.int64).astype(object)
        assert (((found - np.array(quotients, dtype=object)) % prime) == 0).all()


def test_complex_slots_are_multiplied_and_conjugated_as_seal_does():
    plan = complex_plan()
    party = Party(plan)
    assert_same_as_seal(plan, party, EngineBackend(party.ring, plan, BIG, None), unit=uniform(7) + 1j * uniform(8))


def assert_same_as_seal(plan, party, backend, unit=1.0):
    inputs = [party.encrypt(unit * uniform(seed)) for seed in range(plan.inputs)]
    expected = walk(plan, party.evaluator, inputs)
    ours = backend.run(backend.evaluator(party.keys), [backend.load(value) for value in inputs])
    for number, native, value in zip(plan.outputs, expected, ours, strict=True):
        loaded = from_bytes(sealapi.Ciphertext(), party.ring, backend.save(value), "saved", BIG)
        scale = plan.scale_of(number)
        ours_decrypted, seal_decrypted = party.decrypt(loaded, scale), party.decrypt(native, scale)
        # SEAL's digits are not centred, which makes its first slots tens of times noisier than the others
        np.testing.assert_allclose(ours_decrypted[16:], seal_decrypted[16:], atol=0.05)


def test_a_ring_without_special_prime_multiplies_and_adds():
    builder = Builder(params=FLAT)
    plan = builder.build(builder.add_plain(builder.multiply_plain(0, uniform(2), 2.0**10), uniform(3)))
    party = Party(plan)
    assert_same_as_seal(plan, party, EngineBackend(party.ring, plan, BIG, None))


def test_primes_beyond_the_engine_are_refused():
    params = make_params(4096, [45], 51)
    with pytest.raises(BackendError, match="51 bits"):
        make_tables(params)


@pytest.mark.parametrize("name", ["engine", "seal"])
def test_servers_of_both_kinds_answer_the_same_client(name):
    bundle = small_bundle()
    client, server = Client(bundle.client), Server(bundle.server, backend=name)
    server.register(client.evaluation_key)
    image = np.random.default_rng(3).uniform(-1, 1, (4, 8))
    found = client.decrypt(server.run(client.encrypt(image)))
    assert np.abs(found - small_bundle_by_hand(bundle, image)).max() < bundle.client.predicted_logit_error


@pytest.mark.parametrize("margin_bits", [0, 4])
def test_centred_digits_make_the_noise_the_formula_says(margin_bits):
    """Rms over many rotations, all slots: no first slots that are worse, whatever the special prime's size."""
    params = make_params(8192, [36, 36], 36 + margin_bits)
    builder = Builder(params=params, input_scale=2.0**30)
    plan = builder.build(*(builder.rotate(0, steps) for steps in range(1, 13)))
    party = Party(plan)
    backend = EngineBackend(party.ring, plan, BIG, None)
    slots = np.random.default_rng(1).uniform(-1, 1, params.slots)
    ciphertext = party.encrypt(slots)
    fresh_error = party.decrypt(ciphertext, plan.input_scale) - slots
    errors = []
    for value, steps in zip(
        backend.run(backend.evaluator(party.keys), [backend.load(ciphertext)]), range(1, 13), strict=True
    ):
        native = from_bytes(sealapi.Ciphertext(), party.ring, backend.save(value), "saved", BIG)
        errors.append(party.decrypt(native, plan.input_scale) - np.roll(slots + fresh_error, -steps))
    predicted = centred_key_switch_variance(params, 2) / 2  # the real part of a complex slot's error
    found = np.mean(np.square(errors)) * plan.input_scale**2
    assert 0.8 < np.sqrt(found / predicted) < 1.25
    first = np.mean(np.square(errors)[:, :4]) * plan.input_scale**2
    assert first < 4 * predicted


def test_seal_refuses_a_plan_that_counts_on_centred_digits():
    builder = Builder(params=make_params(4096, [36, 30], 37))
    plan = builder.build(builder.rotate(0, 1))
    with pytest.raises(BackendError, match="run the bundle with the engine backend"):
        make_backend(BackendName.SEAL, make_ring(plan.params), plan, BIG)


def test_arrays_of_an_arena_lie_on_cache_lines_and_apart():
    arena = Arena()
    arrays = [arena.empty(*shape) for shape in ((3, 5), (7,), (2, 2**20), (1,), (2, 3, 4096))]
    for number, array in enumerate(arrays):
        assert array.ctypes.data % LINE_BYTES == 0
        array[...] = number
    assert [set(array.ravel()) for array in arrays] == [{number} for number in range(len(arrays))]


def test_no_two_requests_have_one_workspace():
    workspaces, all_there = Workspaces(16), threading.Barrier(4)

    def take(number):
        workspace = workspaces.take()
        all_there.wait()
        return workspace

    with ThreadPoolExecutor(4) as pool:
        arrays = list(pool.map(take, range(4)))
    assert len({array.ctypes.data for array in arrays}) == 4
    for array in arrays:
        workspaces.give(array)
    assert {workspaces.take().ctypes.data for _ in arrays} == {array.ctypes.data for array in arrays}


def test_a_run_gives_its_workspace_back_and_leaves_inputs_and_outputs_alone():
    plan = baby_giant_plan()
    party = Party(plan)
    backend = EngineBackend(party.ring, plan, BIG, None)
    inputs, evaluator = [backend.load(party.encrypt(uniform()))], backend.evaluator(party.keys)
    before = inputs[0].rows.copy()
    (first,) = backend.run(evaluator, inputs)
    kept, workspace = first.rows.copy(), backend.resources.workspaces.take()
    assert not np.shares_memory(first.rows, workspace)
    workspace[:] = np.nan  # what a pass finds in its workspace does not matter
    backend.resources.workspaces.give(workspace)
    (second,) = backend.run(evaluator, inputs)
    np.testing.assert_array_equal(second.rows, kept)
    np.testing.assert_array_equal(first.rows, kept)
    np.testing.assert_array_equal(inputs[0].rows, before)
    assert backend.resources.workspaces.take() is workspace


def test_inputs_of_another_level_or_in_another_order_are_not_read_beyond_their_end():
    plan = one_of("drop")
    party = Party(plan)
    backend = EngineBackend(party.ring, plan, BIG, None)
    evaluator, value = backend.evaluator(party.keys), backend.load(party.encrypt(uniform()))
    (wanted,) = backend.run(evaluator, [value])
    (again,) = backend.run(evaluator, [Residues(np.asfortranarray(value.rows))])
    np.testing.assert_array_equal(again.rows, wanted.rows)
    with pytest.raises(PlanError, match="the plan takes"):
        backend.run(evaluator, [Residues(value.rows[:, :1])])
    with pytest.raises(PlanError, match="2 ciphertexts were given"):
        backend.run(evaluator, [value, value])


def test_keys_of_other_digits_are_refused():
    plan = switched_plan("one")[0]
    party = Party(plan)
    ring = EngineRing(party.ring)
    digits = party.keys.galois.key(plan.key_manifest.galois_elements[0])
    with pytest.raises(BackendError, match="make keys again"):
        key_rows(ring, digits[:1])
