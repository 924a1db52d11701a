"""The browser's arithmetic equals the Python client's: transforms, sampling, seeds, encoding, decryption."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from secure.draws.bits import pack_row, row_words
from secure.draws.chacha import initial_state
from secure.draws.sampling import UNIFORM_DOMAIN, uniform_row
from secure.encoding import coefficients
from secure.params import Params, make_params
from secure.parties.encryptor import ERROR_BYTES, centred_binomial
from secure.seal.context import make_ring
from tests.service.core import Core

DEGREE = 4096


@pytest.fixture(scope="module")
def core() -> Core:
    return Core()


@pytest.fixture
def params() -> Params:
    return make_params(DEGREE, (36, 33), 37)


@pytest.fixture
def tables_of(core: Core) -> Callable[[int], int]:
    """The address of a prime's tables."""

    def tables_of(prime: int) -> int:
        tables = core.room(16 * DEGREE)
        assert core.call("make_tables", prime, DEGREE, tables) == 1
        return tables

    return tables_of


def _root(prime: int) -> int:
    """The smallest primitive root of order 2N, found by trying all powers of one."""
    base = next(
        root
        for candidate in range(2, 100)
        if pow(root := pow(candidate, (prime - 1) // (2 * DEGREE), prime), DEGREE, prime) == prime - 1
    )
    return min(pow(base, odd, prime) for odd in range(1, 2 * DEGREE, 2))


def _reversed(place: int) -> int:
    return int(f"{place:012b}"[::-1], 2)


def test_forward_gives_values_in_seals_order(core: Core, params: Params, tables_of: Callable[[int], int]) -> None:
    prime = params.data_primes[0]
    root, tables = _root(prime), tables_of(prime)
    row = np.random.default_rng(0).integers(0, prime, DEGREE, dtype=np.uint64)
    address = core.put(row)
    core.call("forward", address, prime, tables, DEGREE)
    values = core.get(address, "<u8", DEGREE)
    for place in (0, 1, 2, 1000, DEGREE - 1):
        point = pow(root, 2 * _reversed(place) + 1, prime)
        expected = 0
        for coefficient in reversed(row.tolist()):
            expected = (expected * point + coefficient) % prime
        assert values[place] == expected


@pytest.mark.parametrize("bits", [20, 36, 50])
def test_inverse_undoes_forward(core: Core, tables_of: Callable[[int], int], bits: int) -> None:
    prime = make_params(DEGREE, (bits,), None).data_primes[0]
    tables = tables_of(prime)
    row = np.random.default_rng(bits).integers(0, prime, DEGREE, dtype=np.uint64)
    row[:4] = prime - 1
    address = core.put(row)
    core.call("forward", address, prime, tables, DEGREE)
    assert not np.array_equal(core.get(address, "<u8", DEGREE), row)
    core.call("inverse", address, prime, tables, DEGREE)
    assert np.array_equal(core.get(address, "<u8", DEGREE), row)


def test_errors_are_seals_distribution_of_the_same_coins(core: Core) -> None:
    coins = np.random.default_rng(2).integers(0, 256, ERROR_BYTES * DEGREE, dtype=np.uint8)
    result = core.room(8 * DEGREE)
    core.call("errors", core.put(coins), DEGREE, result)
    assert np.array_equal(core.get(result, "<f8", DEGREE), centred_binomial(coins))


def test_ternary_takes_every_value_as_often(core: Core) -> None:
    values = np.tile(np.arange(256, dtype=np.uint8), 17)
    result = core.room(8 * DEGREE)
    assert core.call("ternary", core.put(values), len(values), DEGREE, result) == 1
    found = core.get(result, "<f8", DEGREE)
    expected = values[values != 255][:DEGREE].astype(np.float64) % 3 - 1
    assert np.array_equal(found, expected)
    assert core.call("ternary", core.put(np.full(DEGREE, 255, dtype=np.uint8)), DEGREE, DEGREE, result) == 0


def test_parms_id_is_seals(core: Core, params: Params) -> None:
    ring = make_ring(params)
    for level in (1, 2):
        words = np.array([2, DEGREE, *params.data_primes[:level], 0], dtype=np.uint64)
        result = core.room(32)
        core.call("parms_id", core.put(words), len(words), result)
        assert core.get(result, "<u8", 4).tolist() == list(ring.parms_ids[level])


@pytest.mark.parametrize("imaginary", [False, True])
def test_encoding_is_the_python_clients(core: Core, imaginary: bool) -> None:
    generator, scale = np.random.default_rng(3), 2.0**24
    slots = generator.normal(size=DEGREE // 2) + (1j * generator.normal(size=DEGREE // 2) if imaginary else 0)
    pairs = np.stack([slots.real, slots.imag], axis=-1)
    result, scratch = core.room(8 * DEGREE), core.room(16 * DEGREE)
    core.call("encode", core.put(pairs), scale, DEGREE, result, scratch)
    found = core.get(result, "<f8", DEGREE)
    exact = coefficients(slots if imaginary else slots.real) * scale
    assert np.abs(found - exact).max() <= 0.5 + 1e-6
    back = core.room(8 * DEGREE)
    core.call("decode", core.put(exact), scale, DEGREE, back, scratch)
    assert np.allclose(core.get(back, "<f8", DEGREE // 2, 2), pairs, atol=1e-12)


def test_a_galois_element_moves_coefficients_with_their_signs(core: Core) -> None:
    polynomial = np.random.default_rng(4).integers(-1, 2, DEGREE).astype(np.float64)
    element, result = 27, core.room(8 * DEGREE)
    core.call("automorphism", core.put(polynomial), element, DEGREE, result)
    expected = np.zeros(DEGREE)
    for place, value in enumerate(polynomial):
        power = place * element % (2 * DEGREE)
        expected[power % DEGREE] = value if power < DEGREE else -value
    assert np.array_equal(core.get(result, "<f8", DEGREE), expected)


def test_an_encryption_opens_to_its_message(core: Core, params: Params, tables_of: Callable[[int], int]) -> None:
    """(m + e - a s, a) at two primes, with messages beyond one prime."""
    generator, primes = np.random.default_rng(5), params.data_primes
    tables = np.concatenate([core.get(tables_of(prime), "<u8", 2 * DEGREE) for prime in primes])
    secret = generator.integers(-1, 2, DEGREE).astype(np.float64)
    message = np.rint(generator.normal(size=DEGREE) * 2.0**47)
    parts = []
    for number, prime in enumerate(primes):
        table, rows = core.put(tables[2 * DEGREE * number : 2 * DEGREE * (number + 1)]), []
        for values in (message, secret):
            row = core.room(8 * DEGREE)
            core.call("residues", core.put(values), prime, table, DEGREE, row)
            rows.append(row)
        random = generator.integers(0, prime, DEGREE, dtype=np.uint64)
        core.call("hide", rows[0], core.put(random), rows[1], prime, DEGREE)
        parts.append((core.get(rows[0], "<u8", DEGREE), random, core.get(rows[1], "<u8", DEGREE)))
    hidden, random, keys = (np.stack(rows) for rows in zip(*parts, strict=True))
    result = core.room(8 * DEGREE)
    core.call(
        "open_ciphertext", core.put(np.concatenate([hidden, random])), core.put(keys),
        core.put(np.array(primes, dtype=np.uint64)), core.put(tables), 2, DEGREE, core.room(16 * DEGREE), result,
    )  # fmt: skip
    assert np.array_equal(core.get(result, "<f8", DEGREE), message)


def test_released_memory_is_overwritten(core: Core) -> None:
    start = core.call("mark")
    address = core.put(np.full(100, 7, dtype=np.uint64))
    core.call("release", start)
    assert not core.get(address, "<u8", 100).any()
    assert core.room(8) == address


@pytest.mark.parametrize("bits", [20, 36, 50])
def test_rows_of_keys_are_expanded_and_packed_as_the_server_reads_them(core: Core, bits: int) -> None:
    prime = make_params(DEGREE, (bits,), None).data_primes[0]
    prime_bits, seed = prime.bit_length(), np.random.default_rng(bits).bytes(32)
    result = core.room(8 * DEGREE)
    core.call("uniform_row", core.put(np.frombuffer(seed, dtype=np.uint8)), 3, 2, prime, prime_bits, DEGREE, result)
    state, expected = initial_state(seed, (UNIFORM_DOMAIN, 3, 2)), np.empty(DEGREE)
    uniform_row(state, float(prime), prime_bits, np.empty(DEGREE, dtype=np.uint64), expected)
    assert np.array_equal(core.get(result, "<u8", DEGREE), expected)
    words = row_words(DEGREE, prime_bits)
    packed = core.room(8 * words)
    core.call("pack_row", result, prime_bits, DEGREE, packed)
    row = np.empty(words, dtype=np.uint64)
    pack_row(expected, prime_bits, row)
    assert np.array_equal(core.get(packed, "<u8", words), row)
    core.call("unpack_row", packed, prime_bits, DEGREE, result)
    assert np.array_equal(core.get(result, "<u8", DEGREE), expected)
