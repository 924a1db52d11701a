"""What a batch client encrypts, with SEAL as the judge; its distributions; and that no randomness is used twice."""

import numpy as np
import pytest
from scipy import stats

from secure.draws.sampling import LARGEST_ERROR
from secure.encoding import real_coefficients
from secure.streams import client as client_module
from secure.streams import encryption as encryption_module
from secure.streams.client import BatchClient
from secure.streams.keys import SecretRows
from secure.streams.sealing import _rounded
from secure.streams.server import BatchServer
from tests.secure.batches_by_hand import ONE_PRIME, SEVERAL_PRIMES, bundle_of, same
from tests.secure.seal_blocks import Judge
from tests.secure.test_encryptor import COINS, LEAST_P, counted, merged

SCALE = 2.0**12
FEATURES = 11


class Parties:
    """A client, its server, and SEAL under the client's key."""

    def __init__(self, params, features=FEATURES, dropped=0):
        bundle = bundle_of((same(features, SCALE),), (features,), SCALE, params=params, dropped=dropped)
        self.params, self.client, self.server = params, BatchClient(bundle.client), BatchServer(bundle.server)
        self.secret = SecretRows(params, self.client.secret_key)
        self.judge = Judge(params, self.secret)

    def frames(self, images):
        return frames_of(self.client, self.client.encrypt_batch(images))

    def residues(self, frame):
        """(features, 2, primes, N): what the server has of a frame, in [0, prime)."""
        rows = [
            self.server.residues(frame, which, "request").astype(np.int64) % prime
            for which, prime in enumerate(self.params.data_primes)
        ]
        return np.stack(rows, axis=2).astype(np.uint64)

    def polynomials(self, frame):
        """(features, N): what SEAL decrypts."""
        return np.stack([self.judge.polynomial(self.judge.ciphertext(part)) for part in self.residues(frame)])


def frames_of(client, request):
    layout = client._requests
    return [layout.parse(frame, "request") for frame in layout.split(request, "request")]


@pytest.fixture(scope="module")
def party():
    """Its kernels are loaded: a compiler that draws random names would count as somebody who draws."""
    parties = Parties(ONE_PRIME)
    parties.client.encrypt_batch(np.zeros((1, FEATURES)))
    return parties


def whole(halves):
    """(..., N) coefficients from the first halves of those of real slots."""
    return np.concatenate([halves, np.zeros((*halves.shape[:-1], 1)), -halves[..., :0:-1]], axis=-1)


@pytest.mark.parametrize("params", [ONE_PRIME, SEVERAL_PRIMES], ids=["one prime", "several"])
def test_seal_decrypts_the_slots_with_nothing_but_the_errors(params):
    parties = Parties(params)
    images = np.random.default_rng(5).uniform(-1, 1, (params.slots + 3, FEATURES))
    full, partial = parties.frames(images)
    slots = np.zeros((2, FEATURES, params.slots))
    slots[0], slots[1, :, :3] = images[: params.slots].T, images[params.slots :].T
    for frame, rows in zip((full, partial), slots, strict=True):
        errors = parties.polynomials(frame) - whole(np.rint(real_coefficients(rows) * SCALE))
        counted(errors)
        assert 9.5 < errors.var() < 11.5


def test_seal_decrypts_what_is_sent_with_fewer_bits():
    dropped = 7
    parties = Parties(ONE_PRIME, dropped=dropped)
    images = np.random.default_rng(6).uniform(-1, 1, (ONE_PRIME.slots, FEATURES))
    (frame,) = parties.frames(images)
    errors = parties.polynomials(frame) - whole(np.rint(real_coefficients(images.T.copy()) * SCALE))
    assert np.abs(errors).max() <= LARGEST_ERROR + 2 ** (dropped - 1)
    assert errors.var() == pytest.approx(COINS / 4 + (4**dropped + 2) / 12, rel=0.05)


@pytest.mark.parametrize("dropped", [1, 12, 20, 30])
def test_rounded_coefficients_are_as_near_as_they_can_be_modulo_the_prime(dropped):
    """Where more bits are dropped than lie between the prime and 2^41, the last residues are rounded to zero."""
    prime = ONE_PRIME.data_primes[0]
    bits = prime.bit_length() - dropped
    random = np.random.default_rng(8)
    row = np.concatenate([np.arange(5000), prime - 1 - np.arange(5000), random.integers(0, prime, 5000)])
    result = np.empty(len(row))
    _rounded(row.astype(np.float64), dropped, bits, result)
    assert result.min() >= 0 and result.max() < 2**bits
    distance = (result.astype(np.int64) * 2**dropped - row) % prime
    assert np.minimum(distance, prime - distance).max() <= 2 ** (dropped - 1)


def test_errors_have_the_exact_distribution(party):
    errors = np.concatenate([party.polynomials(frame) for frame in party.frames(np.zeros((5 * 1024, FEATURES)))])
    counts, expected = merged(counted(errors.ravel()))
    assert stats.chisquare(counts, expected).pvalue > LEAST_P
    variance = COINS / 4
    assert abs(errors.mean()) < 5 * np.sqrt(variance / errors.size)
    for other in (np.roll(errors, 1, axis=0), np.roll(errors, 1, axis=1), np.roll(errors, FEATURES, axis=0)):
        assert abs(np.mean(errors * other)) < 5 * variance / np.sqrt(errors.size)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_both_parts_are_uniform_whatever_they_hide(party, value):
    parts = np.stack([party.residues(frame)[:, :, 0] for frame in party.frames(np.full((3000, FEATURES), value))])
    cells, prime = 128, party.params.data_primes[0]
    for part in (0, 1):
        counts = np.bincount((parts[:, :, part].ravel() * (cells / prime)).astype(int), minlength=cells)
        assert stats.chisquare(counts).pvalue > LEAST_P
    deviation = prime / np.sqrt(12)
    product = (parts[:, :, 0] - prime / 2) * (parts[:, :, 1] - prime / 2)
    assert abs(product.mean()) < 5 * deviation**2 / np.sqrt(product.size)


@pytest.fixture
def drawn(monkeypatch):
    """Bytes that the parties asked of the operating system, in order; they come from a generator."""
    asked, random = [], np.random.default_rng(11)

    def urandom(count):
        asked.append(random.bytes(count))
        return asked[-1]

    assert client_module.os is encryption_module.os
    monkeypatch.setattr(encryption_module.os, "urandom", urandom)
    return asked


def test_every_block_has_a_seed_and_a_key_of_errors_of_its_own_and_the_second_is_never_sent(party, drawn):
    images = np.zeros((3 * 1024, FEATURES))
    content = [party.client.encrypt_batch(images), party.client.encrypt_batch(images)]
    seeds = [frame.seed for part in content for frame in frames_of(party.client, part)]
    keys = [value for value in drawn if len(value) == 32]
    assert sorted(map(len, drawn)) == [16] * 2 + [32] * 12
    assert len(set(keys)) == 12
    assert seeds == keys[::2]
    assert not any(key in part for key in keys[1::2] for part in content)


def test_the_same_randomness_gives_the_same_bytes_and_other_randomness_others(party, monkeypatch):
    images = np.random.default_rng(1).uniform(-1, 1, (1500, FEATURES))

    def encrypted(*changed):
        count = iter(range(100))

        def urandom(size):
            number = next(count)
            return np.random.default_rng([number, number in changed]).bytes(size)

        monkeypatch.setattr(encryption_module.os, "urandom", urandom)
        return party.client.encrypt_batch(images)

    plain, half = encrypted(), party.client._requests.frame_bytes
    assert encrypted() == plain
    for number, frames in ((1, [0]), (2, [0]), (3, [1]), (4, [1])):  # 0 is the batch's id
        other = encrypted(number)
        same_frames = [other[start : start + half] == plain[start : start + half] for start in (0, half)]
        assert same_frames == [frame not in frames for frame in (0, 1)]


def test_threads_make_the_same_bytes(party, monkeypatch):
    images = np.random.default_rng(2).uniform(-1, 1, (1100, FEATURES))
    made = []
    for threads in (1, 2, 3):
        count = iter(range(100))
        monkeypatch.setattr(
            encryption_module.os, "urandom", lambda size, count=count: np.random.default_rng(next(count)).bytes(size)
        )
        client = BatchClient(party.client.spec, party.client.secret_key, threads=threads)
        made.append(client.encrypt_batch(images))
    assert made[0] == made[1] == made[2]
