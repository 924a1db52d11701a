"""The engine's kernels against definitions in whole numbers, also at the extremes of residues and sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure.engine.addresses import ARRAYS, FLAG, KERNEL, TOGETHER
from secure.engine.arithmetic import add_four_products, add_product
from secure.engine.base_change import digits_of, divide, divide_jointly
from secure.engine.program import MAX_ARRAYS, Kernel
from secure.engine.running import places_of
from secure.engine.switched import BLOCK, SHARES, add_switched
from secure.engine.tables import (
    bit_reversed,
    engine_order,
    make_tables,
    rotation_order,
    smallest_root,
)
from secure.engine.team import ALONE
from secure.engine.transform import backward, forward
from secure.params import make_params
from secure.plan import galois_element
from tests.secure.plans import (
    SMALL,
)


def residues(prime, shape, seed=0):
    """Centred residues, the extremes included."""
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
def test_the_transform_evaluates_at_seals_roots_and_is_inverted(degree, bits):
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
def test_transforms_of_the_largest_residues_are_inverted(seed, degree):
    """All residues are plus or minus 0.9 p, the most that is ever stored, for the largest prime."""
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


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([24, 36, 50]), count=st.integers(1, 20))
def test_sums_of_products_are_exact_at_the_extremes(seed, bits, count):
    """Every residue is plus or minus 0.9 p and every constant p / 2, which gives the largest possible sums."""
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


def instructions_of(kernel, *rows):
    """Encoded instructions of one run: (flag, places) each."""
    code = np.zeros((len(rows), ARRAYS + MAX_ARRAYS), dtype=np.int64)
    for number, (flag, places) in enumerate(rows):
        code[number, [KERNEL, FLAG, TOGETHER]] = kernel, flag, len(rows) - number
        code[number, ARRAYS : ARRAYS + len(places)] = places
    return code


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
    source = np.broadcast_to(np.rint(0.9 * moduli[:level, 0])[:, None], (2, level, degree)).copy()
    exact = np.array([digits.astype(np.int64).astype(object)[:, None] * key.astype(np.int64).astype(object)])[0].sum(0)
    exact[0, :level] += source[0].astype(np.int64).astype(object) * int(primes[-1])
    orders = [rotation_order(galois_element(step, degree), degree) for step in (1, 5)]
    totals, scratch = [np.full((2, level + 1, degree), np.nan) for _ in orders], np.empty((2, degree))
    places = places_of(digits, key, source, tables.special, moduli, *orders, *totals)
    for fresh in (True, False):
        runs = [(fresh, (7 + number, 0, 1, 2, 3, 5 + number, 4)) for number in range(2)]
        code = instructions_of(Kernel.ADD_SWITCHED, *runs)
        add_switched(ALONE, places, code, 0, 2, degree, scratch, tables, 1)
    for total, order in zip(totals, orders, strict=True):
        difference = total.astype(np.int64).astype(object) - 2 * exact[..., order]
        assert ((difference % primes[rows][:, None]) == 0).all()
        assert (np.abs(total) < 0.9 * moduli[:, :1]).all()


@pytest.mark.parametrize("degree", [4096, 8192, 16384, 32768])
@pytest.mark.parametrize("element", [3, 5, 25, -1])
def test_a_rotation_moves_whole_blocks(degree, element):
    block = min(BLOCK, degree // SHARES)
    order = rotation_order(element % (2 * degree), degree).reshape(-1, block).astype(np.int64)
    np.testing.assert_array_equal(np.sort(order, axis=1), order[:, :1] // block * block + np.arange(block))


@pytest.mark.parametrize("bits", [30, 50])
def test_a_joint_division_is_a_division_by_the_product(bits):
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
