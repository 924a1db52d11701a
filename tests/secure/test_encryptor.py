"""The client's own encryptor: what SEAL decrypts of it, and that its errors are distributed as SEAL's are."""

import pickle
from dataclasses import replace
from math import comb

import numpy as np
import pytest
import tenseal.sealapi as seal
from scipy import stats

from compress.errors import BackendError, ConfigError
from secure.ciphertext_shape import SEED_BYTES
from secure.encoding import coefficients
from secure.params import make_params
from secure.parties import encryptor as module
from secure.parties.client import Client
from secure.parties.encryptor import COINS, ERROR_BYTES, Encryptor, centred_binomial
from secure.parties.keys import SecretCipher, SecretKey
from secure.parties.native_form import native_ciphertext
from secure.parties.server import Server
from secure.seal.context import make_ring, to_bytes
from secure.seal.sizes import ciphertext_bytes
from tests.secure.plans import FLAT, SMALL, small_bundle, small_bundle_by_hand

SCALE = 2.0**20
#: Probability of each error from -21 to 21: heads of 21 coins minus heads of 21 others (Vandermonde's identity).
ERRORS = np.arange(-COINS // 2, COINS // 2 + 1)
EXACT = np.array([comb(COINS, COINS // 2 + int(error)) for error in ERRORS]) / 2.0**COINS
#: A correct sampler falls below this once in ten million draws; samplers that are wrong in what tests name, far below.
LEAST_P = 1e-7


class Party:
    """One secret key, our encryptor under it, and SEAL's objects to look into ciphertexts."""

    def __init__(self, params):
        self.params, self.level = params, params.levels
        self.ring = make_ring(params)
        self.key = SecretKey("0" * 64, bytes(16), to_bytes(seal.KeyGenerator(self.ring.context).secret_key()))
        self.native = self.key.native(self.ring)
        self.own = Encryptor(self.ring, self.key, self.level)
        self.cipher = SecretCipher(self.ring, self.key)
        self.encoder = seal.CKKSEncoder(self.ring.context)
        self.seal = seal.Encryptor(self.ring.context, self.native)

    def load(self, item):
        return native_ciphertext(self.ring, item, self.level, "ciphertext", seeded=True)

    def polynomial(self, item):
        """(N,): coefficients of what SEAL decrypts, errors included, exact as long as they are below 2^40."""
        plain = seal.Plaintext()
        seal.Decryptor(self.ring.context, self.native).decrypt(self.load(item), plain)
        plain.scale = 1.0
        found = coefficients(np.array(self.encoder.decode_complex(plain)))
        assert np.abs(found - np.rint(found)).max() < 1e-2
        return np.rint(found)

    def zeros(self, count):
        return self.own.encrypt(np.zeros((count, self.params.slots)), 1.0)

    def seal_zeros(self, count):
        return [to_bytes(self.seal.encrypt_zero_symmetric(self.ring.parms_ids[self.level])) for _ in range(count)]


@pytest.fixture(scope="module")
def party():
    return Party(SMALL)


def counted(errors):
    assert np.abs(errors).max() <= COINS // 2
    return np.array([(errors == error).sum() for error in ERRORS])


def merged(*counts, least=20.0):
    """The counts, then those that are expected, with tails added to the outermost cells expected `least` times."""
    expected = EXACT * counts[0].sum()
    kept = np.flatnonzero(expected >= least)
    edges = [0, *range(kept[0] + 1, kept[-1] + 1)]
    return [np.add.reduceat(row, edges) for row in (*counts, expected)]


@pytest.mark.parametrize("params", [SMALL, FLAT, make_params(8192, [50, 43, 43], 50)], ids=["small", "flat", "8192"])
@pytest.mark.parametrize("planes", [1, 2])
def test_seal_decrypts_the_slots_with_nothing_but_the_errors(params, planes):
    party = Party(params)
    random = np.random.default_rng(3)
    slots = random.normal(size=(3, params.slots)) + (1j * random.normal(size=(3, params.slots)) if planes == 2 else 0)
    wanted = np.rint(coefficients(slots) * SCALE)
    for row, item in zip(wanted, party.own.encrypt(slots, SCALE), strict=True):
        counted(party.polynomial(item) - row)
    real = party.cipher.decrypt(party.load(party.own.encrypt(slots, SCALE)[0]), SCALE)
    assert np.abs(real - slots[0].real).max() < 6 * 3.3 * np.sqrt(params.poly_modulus_degree) / SCALE


def test_errors_have_the_moments_of_42_coins(party):
    errors = np.concatenate([party.polynomial(item) for item in party.zeros(40)])
    count, variance = len(errors), COINS / 4
    fourth = 3 * variance**2 - variance / 2  # a sum of 42 coins has the excess -2 / 42 (derived)
    eighth = np.sum(EXACT * ERRORS**8.0)
    assert abs(errors.mean()) < 5 * np.sqrt(variance / count)
    assert abs(errors.var() - variance) < 5 * np.sqrt((fourth - variance**2) / count)
    assert abs(np.mean(errors**3)) < 5 * np.sqrt(15 * variance**3 / count)
    assert abs(np.mean(errors**4) - fourth) < 5 * np.sqrt((eighth - fourth**2) / count)  # 4 % of the fourth moment


def test_errors_have_the_exact_distribution_and_that_of_seal(party):
    ours = counted(np.concatenate([party.polynomial(item) for item in party.zeros(60)]))
    theirs = counted(np.concatenate([party.polynomial(item) for item in party.seal_zeros(60)]))
    ours, theirs, expected = merged(ours, theirs)
    assert stats.chisquare(ours, expected).pvalue > LEAST_P
    assert stats.chisquare(theirs, expected).pvalue > LEAST_P
    assert stats.chi2_contingency([ours, theirs]).pvalue > LEAST_P
    gaussian = stats.norm.pdf(ERRORS, scale=3.4)  # a deviation of 3.4 in place of 3.24 would be seen
    wrong, expected = merged(np.rint(gaussian / gaussian.sum() * expected.sum()))
    assert stats.chisquare(wrong, expected * wrong.sum() / expected.sum()).pvalue < LEAST_P


def test_errors_of_neighbours_and_of_ciphertexts_are_uncorrelated(party):
    errors = np.stack([party.polynomial(item) for item in party.zeros(20)])
    count, variance = errors.size, COINS / 4
    for other in (np.roll(errors, 1, axis=1), np.roll(errors, 1, axis=0)):
        assert abs(np.mean(errors * other)) < 5 * variance / np.sqrt(count)
    # mirrored, every product comes twice: half as many independent ones
    first, last = np.split(errors, 2, axis=1)
    assert abs(np.mean(first * last[:, ::-1])) < 5 * variance / np.sqrt(count / 2)


def test_each_bit_of_the_coins_counts_once_and_unused_bits_do_not():
    for byte in range(ERROR_BYTES):
        for bit in range(8):
            coins = np.zeros(ERROR_BYTES, dtype=np.uint8)
            coins[byte] = 1 << bit
            used = byte % 3 < 2 or bit < 5
            assert centred_binomial(coins) == [used * (1 if byte < 3 else -1)]
    assert centred_binomial(np.full(2 * ERROR_BYTES, 255, dtype=np.uint8)).tolist() == [0, 0]
    assert centred_binomial(np.array([255, 255, 255, 0, 0, 0], dtype=np.uint8)).tolist() == [21]


def test_no_seed_and_no_error_comes_twice(party):
    items = [*party.zeros(30), *party.zeros(30)]
    halves = {to_bytes(party.load(item))[-4096:] for item in items}
    errors = {party.polynomial(item).tobytes() for item in items}
    assert len(halves) == len(errors) == len(items)


def test_all_randomness_comes_from_the_operating_system(party, monkeypatch):
    asked = []

    def urandom(count):
        asked.append(count)
        return np.random.default_rng(len(asked)).bytes(count)

    monkeypatch.setattr(module.os, "urandom", urandom)
    first = party.zeros(2)
    drawn, asked[:] = list(asked), []
    assert party.zeros(2) == first
    assert sum(drawn) == 2 * (SEED_BYTES + ERROR_BYTES * party.params.poly_modulus_degree)


def test_a_large_message_keeps_every_error():
    """Coefficients above 2^53, where a float64 could not carry an error beside them."""
    params = make_params(8192, [50, 50], 50)
    party = Party(params)
    slots = np.zeros((1, params.slots))
    item = party.own.encrypt(slots + 1.0, 2.0**70)[0]
    plain = seal.Plaintext()
    party.encoder.encode(1.0, party.ring.parms_ids[2], 2.0**70, plain)
    plain.scale = 1.0
    value = party.load(item)
    seal.Evaluator(party.ring.context).sub_plain_inplace(value, plain)
    errors = party.polynomial(to_bytes(value))
    assert stats.chisquare(*merged(counted(errors))).pvalue > LEAST_P


def test_a_value_beyond_the_modulus_is_refused(party):
    with pytest.raises(BackendError, match=r"encrypt: a coefficient of .* where the modulus holds less than"):
        party.own.encrypt(np.full((1, party.params.slots), 1.0), 2.0 ** party.params.log2_modulus(2))
    with pytest.raises(BackendError, match="encrypt: a coefficient of nan"):
        party.own.encrypt(np.full((1, party.params.slots), np.nan), SCALE)


@pytest.mark.parametrize(
    ("bits", "most"), [((36, 29), 0.83), ((40, 40), 0.91), ((50, 50), 0.95), ((43, 43), 0.95), ((20, 20), 0.8)]
)
def test_the_bytes_are_fewer_than_those_of_seal_and_as_many_as_stated(bits, most):
    params = make_params(8192, [*bits], 50)
    party = Party(params)
    slots = np.random.default_rng(0).normal(size=(2, params.slots))
    items = party.own.encrypt(slots, 2.0**10)
    ours = np.mean([len(item) for item in items])
    theirs = np.mean([len(party.cipher.encrypt(row, party.level, 2.0**10)) for row in slots])
    assert 0.8 * most * theirs < ours < most * theirs
    assert ours == ciphertext_bytes(params, 2, seeded=True)
    for row, item in zip(slots, items, strict=True):
        counted(party.polynomial(item) - np.rint(coefficients(row) * 2.0**10))


@pytest.mark.parametrize("backend", [None, "engine", "seal"])
def test_a_client_encrypts_with_the_backend_that_it_is_given(backend):
    bundle = small_bundle()
    client, server = Client(bundle.client, backend=backend), Server(bundle.server)
    server.register(client.evaluation_key)
    image = np.random.default_rng(0).uniform(-1, 1, bundle.client.input_shape)
    found = client.decrypt(server.run(client.encrypt(image)))
    assert np.abs(found - small_bundle_by_hand(bundle, image)).max() < bundle.client.predicted_logit_error
    assert ("_encryptor" in vars(client)) is (backend != "seal")


def test_another_backend_of_a_client_is_refused():
    with pytest.raises(ConfigError, match="backend: got 'clear'; allowed: engine, seal"):
        Client(small_bundle().client, backend="clear")
    large = replace(small_bundle().client, params=make_params(8192, [55, 40], 60))
    with pytest.raises(BackendError, match="'engine' cannot run this bundle: it takes primes of up to 50 bits"):
        Client(large, backend="engine")


def test_an_encryptor_is_never_pickled(party):
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(party.own)
