"""BatchEvaluator against whole numbers: steps at the limits of their ranges, whole plans, chunks, threads, refusals."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import ConfigError, PlanError
from secure.coded.plan import Product, Quadratic, Select, Sum
from secure.residues.constants import MAX_PRIME_BITS, code_limit
from secure.residues.digits import LARGEST_CODE, LARGEST_ROW
from secure.residues.evaluator import BatchEvaluator
from secure.residues.times import Way, fastest_way, preferring
from tests.secure.batch_plans import batch_plan, linear, random_plans, residues, simulate

#: A small ring: positions do not meet, so nothing depends on their number.
DEGREE = 64
BY_DIGITS = preferring(Way.DIGITS)
MODES = {"by BLAS": preferring(Way.BLAS), "sparsely": preferring(Way.SPARSE), "by digits": BY_DIGITS}
each_mode = pytest.mark.parametrize("times", MODES.values(), ids=MODES)


def quadratic(features, source=0, square=1, factor=0, constant=0):
    arrays = {
        name: np.full(features, value, dtype=float)
        for name, value in (("square", square), ("linear", factor), ("constant", constant))
    }
    return Quadratic(layer="act", sources=(source,), scales=np.ones(features), **arrays)


def mlp(density=1.0, bits=(41,), degree=DEGREE):
    generator = np.random.default_rng(0)
    first, second = (
        generator.integers(-31, 32, shape) * (generator.random(shape) < density) for shape in ((8, 50), (3, 8))
    )
    layers = [linear(first, [5] * 8), quadratic(8, 1), linear(second, [1e6, -1e15, 3], source=2)]
    return batch_plan(50, layers, bits, degree)


def check(plan, value, **options):
    """Run the plan modulo its first prime and compare all residues with whole numbers."""
    found = BatchEvaluator(plan, **options).run(0, value)
    np.testing.assert_array_equal(found, simulate(plan, plan.params.data_primes[0], value).astype(float))


@each_mode
@settings(deadline=None, max_examples=40)
@given(
    bits=st.integers(20, MAX_PRIME_BITS),
    columns=st.sampled_from([1, 3, 130, 700]),
    seed=st.integers(0, 2**32 - 1),
    extreme=st.booleans(),
)
def test_products_of_the_largest_codes_and_residues_are_exact(times, bits, columns, seed, extreme):
    """Codes as large as the prime allows, of one sign or of both, with residues at both ends of the range."""
    generator = np.random.default_rng(seed)
    plan = batch_plan(columns, [linear(np.ones((1, columns), dtype=int))], (bits,), DEGREE)
    prime = plan.params.data_primes[0]
    largest = min(code_limit(plan.steps[0], prime), 2**31 - 1)
    codes = generator.integers(-largest, largest, (4, columns), endpoint=True)
    codes[0], codes[1] = largest, -largest
    codes[2, columns // 2 :] = 0
    bias = generator.choice([-1.0, 1.0], 4) * 2.0 ** generator.integers(0, 90, 4)
    plan = replace(plan, steps=(linear(codes, bias),))
    check(plan, residues(prime, (columns, 2, DEGREE), seed, extreme), times=times)


@settings(deadline=None, max_examples=60)
@given(
    bits=st.integers(20, MAX_PRIME_BITS),
    rows=st.integers(1, 14),
    columns=st.sampled_from([1, 2, 3, 131, 700]),
    seed=st.integers(0, 2**32 - 1),
    extreme=st.booleans(),
)
def test_digits_are_exact_up_to_the_largest_codes_and_rows(bits, rows, columns, seed, extreme):
    """Rows whose sums of |codes| are the largest that 32 bits allow, with residues at both ends of the range."""
    generator = np.random.default_rng(seed)
    bare = batch_plan(columns, [linear(np.ones((1, columns), dtype=int))], (bits,), DEGREE)
    prime = bare.params.data_primes[0]
    largest = min(LARGEST_CODE, LARGEST_ROW // columns, code_limit(bare.steps[0], prime))
    codes = generator.integers(-largest, largest, (rows, columns), endpoint=True)
    codes[0] = largest
    if rows > 1:
        codes[-1] = -largest
    bias = generator.choice([-1.0, 1.0], rows) * 2.0 ** generator.integers(0, 90, rows)
    plan = replace(bare, steps=(linear(codes, bias),))
    assert fastest_way(plan.steps[0], columns, prime, BY_DIGITS) is Way.DIGITS
    check(plan, residues(prime, (columns, 2, DEGREE), seed, extreme), times=BY_DIGITS)


@settings(deadline=None, max_examples=30)
@given(
    bits=st.integers(20, 46),
    parts=st.sampled_from([2, 3, 5, 9]),
    square=st.sampled_from([1.0, -1.0, 7.0, 2.0**80]),
    factor=st.sampled_from([0.0, 1.0, -(2.0**70)]),
    constant=st.sampled_from([0.0, -5.0, 2.0**100]),
    extreme=st.booleans(),
)
def test_quadratic_polynomials_of_any_number_of_parts_are_exact(bits, parts, square, factor, constant, extreme):
    steps = [quadratic(3, level) for level in range(int(np.log2(parts - 1)))]
    steps.append(quadratic(3, len(steps), square, factor, constant))
    plan = batch_plan(3, steps, (bits,), DEGREE)
    assert plan.parts[-2] == parts
    check(plan, residues(plan.params.data_primes[0], (3, 2, DEGREE), 1, extreme))


@pytest.mark.parametrize("bits", [20, 41, MAX_PRIME_BITS])
@pytest.mark.parametrize("extreme", [False, True])
def test_products_sums_and_selections_of_different_parts_are_exact(bits, extreme):
    generator = np.random.default_rng(0)
    factors = generator.integers(-(2**40), 2**40, (3, 4)).astype(float)
    chosen = np.array([0, 7, -1, 4, 11, 11, 3])
    scale = {"scales": np.ones(4)}
    of_chosen = np.array([1, -1, 5, 2.0**60, 1, 3, 0])
    steps = [
        quadratic(4),
        Product(layer="product", sources=(1, 0), **scale),
        Product(layer="product", sources=(0, 2), **scale),
        Sum(layer="sum", sources=(2, 0, 3), factors=factors, **scale),
        Select(layer="select", sources=(4, 0, 1), scales=np.ones(7), indices=chosen, factors=of_chosen),
    ]
    plan = batch_plan(4, steps, (bits,), DEGREE)
    assert plan.parts == (2, 3, 4, 5, 5, 5)
    check(plan, residues(plan.params.data_primes[0], (4, 2, DEGREE), 2, extreme))


@each_mode
@settings(deadline=None, max_examples=40)
@given(plan=random_plans(), seed=st.integers(0, 2**32 - 1))
def test_random_plans_give_what_whole_numbers_give(times, plan, seed):
    evaluator = BatchEvaluator(plan, times=times)
    for which, prime in enumerate(plan.params.data_primes):
        value = residues(prime, (plan.inputs, 2, DEGREE), seed)
        np.testing.assert_array_equal(evaluator.run(which, value), simulate(plan, prime, value).astype(float))


@each_mode
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_every_chunk_size_and_number_of_threads_gives_the_same_bits(times, density):
    plan = mlp(density, (41, 40), 512)
    value = residues(plan.params.data_primes[1], (50, 2, 512))
    wanted = simulate(plan, plan.params.data_primes[1], value).astype(float)
    for chunk in (None, 32, 128, 512):
        for threads in (1, 2, 3):
            found = BatchEvaluator(plan, threads=threads, chunk=chunk, times=times).run(1, value)
            assert found.tobytes() == wanted.tobytes()


def test_requests_of_several_threads_do_not_disturb_each_other():
    plan = mlp(0.5, degree=512)
    evaluator = BatchEvaluator(plan, threads=2, chunk=32)
    values = [residues(plan.params.data_primes[0], (50, 2, 512), seed) for seed in range(8)]
    alone = [evaluator.run(0, value).tobytes() for value in values]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda value: evaluator.run(0, value).tobytes(), values))
    assert together == alone


def test_a_block_does_not_wait_for_threads_that_are_busy_elsewhere():
    """As those of another block are, or as a forked process's, which has none."""
    plan = mlp(degree=256)
    evaluator = BatchEvaluator(plan, threads=2, chunk=32)
    value = residues(plan.params.data_primes[0], (50, 2, 256))
    wanted, busy = evaluator.run(0, value), Event()
    evaluator._pool.submit(busy.wait, 60)
    with ThreadPoolExecutor(1) as other:
        found = other.submit(evaluator.run, 0, value)
        try:
            np.testing.assert_array_equal(found.result(timeout=30), wanted)
        finally:
            busy.set()


def test_a_caller_may_fill_chunks_and_its_error_reaches_it():
    plan = mlp(degree=256)
    evaluator = BatchEvaluator(plan, threads=2, chunk=64)
    value = residues(plan.params.data_primes[0], (50, 2, 256))

    def fill(first, chunk):
        chunk.residues[...] = value[:, :, first : first + chunk.positions]

    def broken(first, chunk):
        raise ZeroDivisionError(f"at {first}")

    np.testing.assert_array_equal(evaluator.run_filled(0, fill), evaluator.run(0, value))
    with pytest.raises(ZeroDivisionError, match="at "):
        evaluator.run_filled(0, broken)
    np.testing.assert_array_equal(evaluator.run_filled(0, fill), evaluator.run(0, value))


def test_inputs_that_no_step_reads_are_not_looked_at():
    generator = np.random.default_rng(0)
    codes = generator.integers(1, 9, (3, 10))
    codes[:, [0, 4, 7]] = 0
    chosen = np.array([12, 4, -1, 2])
    steps = [
        linear(codes),
        Select(layer="select", sources=(0, 1), scales=np.ones(4), indices=chosen, factors=np.ones(4)),
        Select(layer="select", sources=(1, 0), scales=np.ones(4), indices=chosen, factors=np.ones(4)),
        Sum(layer="sum", sources=(2, 3), scales=np.ones(4), factors=np.ones((2, 4))),
    ]
    plan = batch_plan(10, steps, (41,), DEGREE)
    value = residues(plan.params.data_primes[0], (10, 2, DEGREE))
    wanted = simulate(plan, plan.params.data_primes[0], value).astype(float)
    for times in MODES.values():
        evaluator = BatchEvaluator(plan, times=times)
        assert evaluator.read_inputs.tolist() == [1, 2, 3, 4, 5, 6, 8, 9]
        value[[0, 7]] = np.nan
        np.testing.assert_array_equal(evaluator.run(0, value), wanted)


@pytest.mark.parametrize("value", [np.zeros((50, 2, 32)), np.zeros((49, 2, 64)), np.zeros((50, 2, 64), dtype=int)])
def test_residues_of_another_shape_or_type_are_refused(value):
    with pytest.raises(ValueError, match=r"residues: .* the plan takes float64 \(50, 2, 64\)"):
        BatchEvaluator(mlp()).run(0, value)


@each_mode
def test_a_plan_whose_products_leave_the_exact_range_is_refused_by_the_layers_name(times):
    plan = mlp(bits=(45,))
    limit = code_limit(plan.steps[0], plan.params.data_primes[0])
    codes = np.full((2, 8), 1)
    codes[1, 5] = -limit
    allowed = replace(plan, steps=(*plan.steps[:2], linear(codes, source=2, layer="fc2")))
    check(allowed, residues(plan.params.data_primes[0], (50, 2, DEGREE)), times=times)
    codes[1, 5] -= 1
    refused = replace(plan, steps=(*plan.steps[:2], linear(codes, source=2, layer="fc2")))
    with pytest.raises(PlanError, match=f"layer 'fc2': a code of {limit + 1} .* allowed: codes up to {limit}"):
        BatchEvaluator(refused, times=times)


def test_primes_beyond_the_exact_range_are_refused():
    with pytest.raises(PlanError, match="coeff_modulus: a prime has 50 bits; products of 3 parts are exact with 49"):
        BatchEvaluator(mlp(bits=(50,)))
    many_parts = batch_plan(2, [quadratic(2, level) for level in range(6)], (49,), DEGREE)
    with pytest.raises(PlanError, match="a prime has 49 bits; products of 33 parts are exact with 48 at most"):
        BatchEvaluator(many_parts)
    check(replace(many_parts, params=batch_plan(2, [], (48,), DEGREE).params), np.zeros((2, 2, DEGREE)))


def test_an_inconsistent_plan_is_refused_before_it_runs():
    plan = mlp()
    columns = plan.steps[0].columns.copy()
    columns[7] = 50
    with pytest.raises(PlanError, match="layer 'linear': field 'columns'"):
        BatchEvaluator(replace(plan, steps=(replace(plan.steps[0], columns=columns), *plan.steps[1:])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads: got 0"),
        ({"chunk": 48}, "chunk: got 48; allowed: a power of two from 32 to 64"),
        ({"chunk": 16}, "chunk: got 16"),
        ({"chunk": 128}, "chunk: got 128"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        BatchEvaluator(mlp(), **options)
