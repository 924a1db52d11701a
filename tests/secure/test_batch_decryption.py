"""Ciphertexts of two to seventeen parts decrypt exactly: against Python's integers, and against SEAL."""

from math import prod

import numpy as np
import pytest

from compress.errors import FormatError
from secure.draws.bits import pack_row, row_words
from secure.encoding import real_slots
from secure.engine.tables import make_tables
from secure.params import make_params
from secure.streams.decryption import BlockDecryptor
from secure.streams.opening import combine
from tests.secure.batches_by_hand import ONE_PRIME, SEVERAL_PRIMES, bundle_of, same, squares
from tests.secure.test_batch_encryption import FEATURES, Parties

SCALE = 2.0**12


def packed(residues, params):
    """The items of a reply: residues (outputs, parts, primes, N) in [0, prime), packed by prime."""
    items = []
    for which, prime in enumerate(params.data_primes):
        bits = prime.bit_length()
        rows = np.empty((*residues.shape[:2], row_words(residues.shape[3], bits)), dtype=np.uint64)
        for output, parts in enumerate(residues[:, :, which]):
            for part, row in enumerate(parts):
                pack_row(row.astype(np.float64), bits, rows[output, part])
        items.append(rows.tobytes())
    return items


def decryptor(parties, outputs, parts):
    """A decryptor of ciphertexts of so many parts, with scales of 1."""
    count = (parts - 1).bit_length() - 1
    steps = squares(outputs, 1.0, count) if count else (same(outputs, 1.0),)
    spec = bundle_of(steps, (outputs,), 1.0, params=parties.params).client
    assert spec.reply_parts == parts
    return BlockDecryptor(spec, parties.secret, make_tables(parties.params))


def decrypted(parties, residues):
    """(outputs, N): coefficients of ciphertexts (outputs, parts, primes, N)."""
    outputs, parts = residues.shape[:2]
    return decryptor(parties, outputs, parts).coefficients(packed(residues, parties.params), "reply")


def products(left, right, moduli):
    """Ciphertext products (outputs, parts, primes, N) in Python's integers."""
    left, right = left.astype(object), right.astype(object)
    result = np.zeros((len(left), left.shape[1] + right.shape[1] - 1, *left.shape[2:]), dtype=object)
    for one in range(left.shape[1]):
        for other in range(right.shape[1]):
            result[:, one + other] += left[:, one] * right[:, other]
    return result % np.array(moduli, dtype=object)[:, None]


def negacyclic(one, other, modulus):
    """The product of two polynomials modulo X^N + 1 and a modulus, by one product of long integers."""
    degree, width = len(one), 2 * modulus.bit_length() + 16

    def number(values):
        return sum(int(value) % modulus << (width * place) for place, value in enumerate(values))

    product, mask = number(one) * number(other), (1 << width) - 1
    digits = [product >> (width * place) & mask for place in range(2 * degree)]
    return [(low - high) % modulus for low, high in zip(digits[:degree], digits[degree:], strict=True)]


def centred(values, modulus):
    return [value - modulus if value > modulus // 2 else value for value in (int(v) % modulus for v in values)]


@pytest.fixture(scope="module", params=[ONE_PRIME, SEVERAL_PRIMES], ids=["one prime", "several"])
def parties(request):
    return Parties(request.param)


def test_two_to_seventeen_parts_decrypt_exactly(parties):
    params, modulus = parties.params, prod(parties.params.data_primes)
    images = np.random.default_rng(3).uniform(-1, 1, (params.slots, FEATURES))
    residues = parties.residues(parties.frames(images)[0])[:2]
    wanted = [[int(value) for value in row] for row in decrypted(parties, residues)]
    for parts in (3, 5, 9, 17):
        residues = products(residues, residues, params.data_primes)
        assert residues.shape[1] == parts
        wanted = [negacyclic(row, row, modulus) for row in wanted]
        found = decrypted(parties, residues)
        assert found.tolist() == [[float(value) for value in centred(row, modulus)] for row in wanted], parts


def test_what_seal_encrypts_decrypts_here_and_so_does_its_square(parties):
    params, judge = parties.params, parties.judge
    slots = np.random.default_rng(4).uniform(-1, 1, params.slots)
    ciphertext = judge.encrypt(slots, SCALE)
    fresh = decrypted(parties, judge.residues(ciphertext)[None])[0]
    assert fresh.tolist() == judge.polynomial(ciphertext).tolist()
    assert np.abs(real_slots(fresh) / SCALE - slots).max() < 6 * 3.3 * np.sqrt(params.slots) / SCALE
    judge.evaluator.square_inplace(ciphertext)
    residues = judge.residues(ciphertext)
    assert residues.shape[0] == 3
    found = decrypted(parties, residues[None])[0]
    assert found.tolist() == judge.polynomial(ciphertext).tolist()
    modulus = prod(params.data_primes)
    assert found.tolist() == [float(value) for value in centred(negacyclic(fresh, fresh, modulus), modulus)]


@pytest.mark.parametrize("place", [0, 1])
def test_a_residue_that_is_not_below_its_prime_is_refused(parties, place):
    residues = parties.residues(parties.frames(np.zeros((1, FEATURES)))[0])
    prime = parties.params.data_primes[-1]
    assert prime < 2 ** prime.bit_length() - 1
    residues[3, place, -1, 77] = prime
    with pytest.raises(FormatError, match="reply: a residue is not below its prime"):
        decrypted(parties, residues)
    residues[3, place, -1, 77] = prime - 1
    assert np.isfinite(decrypted(parties, residues)).all()


@pytest.mark.parametrize("bits", [[41], [40, 22, 33], [36, 36], [50, 50, 50, 50], [20, 49], [49, 20, 20]])
def test_residues_of_several_primes_combine_to_the_nearest_float(bits):
    params = make_params(4096, bits, None)
    modulus, random = prod(params.data_primes), np.random.default_rng(sum(bits))
    largest = modulus // 2
    values = [int.from_bytes(random.bytes(32), "little") % modulus - largest for _ in range(3000)]
    values = [value >> int(random.integers(0, modulus.bit_length())) for value in values]
    values += [0, 1, -1, largest, -largest, 2**53 % largest, params.data_primes[0] // 2, -(params.data_primes[0] // 2)]
    rows = np.array([centred(values, prime) for prime in params.data_primes], dtype=np.float64)
    combine(rows, make_tables(params))
    assert rows[0].tolist() == [float(value) for value in values]
