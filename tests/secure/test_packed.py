"""Ciphertexts as strings of bits: what the engine reads and writes equals what SEAL makes of the same bytes."""

from collections.abc import Callable

import numpy as np
import pytest
import tenseal.sealapi as seal

from compress.errors import FormatError
from secure.ciphertext_shape import HEAD, SEED_BYTES, item_bytes, unpacked
from secure.draws.bits import pack_row, row_words
from secure.engine.residues import residues_of
from secure.engine.tables import engine_order
from secure.params import make_params
from secure.parties.client import Client
from secure.parties.encryptor import Encryptor
from secure.parties.keys import SecretKey
from secure.parties.native_form import native_ciphertext
from secure.parties.packed import read_request, write_reply
from secure.parties.server import Server
from secure.seal.context import make_ring, to_bytes
from tests.secure.plans import small_bundle

PARAMS = make_params(4096, [37, 20], 43)
LEVEL, DEGREE = PARAMS.levels, PARAMS.poly_modulus_degree
ORDER = engine_order(DEGREE)


@pytest.fixture(scope="module")
def ring():
    return make_ring(PARAMS)


@pytest.fixture(scope="module")
def item(ring):
    key = SecretKey("0" * 64, bytes(16), to_bytes(seal.KeyGenerator(ring.context).secret_key()))
    slots = np.random.default_rng(0).normal(size=(1, PARAMS.slots))
    return Encryptor(ring, key, LEVEL).encrypt(slots, 2.0**20)[0]


def as_seal_reads(ring, item, level, *, seeded):
    native = native_ciphertext(ring, item, level, "item", seeded=seeded)
    return residues_of(native, np.array(PARAMS.data_primes[:level], dtype=np.float64), ORDER)


def test_a_request_is_read_as_seal_reads_it(ring, item):
    found = read_request(PARAMS, ORDER, item, LEVEL, "request")
    assert np.array_equal(found, as_seal_reads(ring, item, LEVEL, seeded=True))


@pytest.mark.parametrize("level", [1, 2])
def test_a_reply_is_read_as_it_was_written(ring, level):
    primes = np.array(PARAMS.data_primes[:level])[:, None]
    words = np.random.default_rng(level).integers(0, primes, (2, level, DEGREE))
    words[0, 0, :3] = [0, primes[0, 0] - 1, primes[0, 0] // 2]
    value = np.where(words > primes / 2, words - primes, words).astype(np.float64)[..., ORDER]
    reply = write_reply(PARAMS, np.argsort(ORDER), value)
    assert len(reply) == item_bytes(PARAMS, level, seeded=False)
    assert np.array_equal(as_seal_reads(ring, reply, level, seeded=False), value)


@pytest.mark.parametrize("bits", [20, 32, 47, 50])
def test_bits_are_taken_apart_as_they_were_put_together(bits):
    params = make_params(4096, [bits], None)
    own = params.coeff_modulus_bits[0]
    values = np.random.default_rng(bits).integers(0, 2**own, DEGREE).astype(np.float64)
    packed = np.empty(row_words(DEGREE, own), dtype=np.uint64)
    pack_row(values, own, packed)
    assert np.array_equal(unpacked(params, 1, packed, 1)[0, 0], values.astype(np.uint64))


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "magic": (lambda item: b"CPSCTXT2" + item[8:], "too few|SEAL|states a seed"),
    "parts": (lambda item: item[:8] + b"\2" + item[9:], "states a seed and one part"),
    "padding": (lambda item: item[:12] + b"\1" + item[13:], "states a seed and one part"),
    "cut off": (lambda item: item[:-8], "bytes where a ciphertext of level 2 takes"),
    "longer": (lambda item: item + bytes(8), "bytes where a ciphertext of level 2 takes"),
    "head alone": (lambda item: item[:16], "bytes where a ciphertext of level 2 takes"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_ciphertext_of_the_level_is_refused(item, case):
    altered, message = HOSTILE[case]
    with pytest.raises(FormatError, match=message):
        read_request(PARAMS, ORDER, altered(item), LEVEL, "request")


def test_a_residue_at_its_prime_is_refused_by_both(ring, item):
    altered = bytearray(item)
    altered[HEAD.size + SEED_BYTES : HEAD.size + SEED_BYTES + 8] = b"\xff" * 8
    with pytest.raises(FormatError, match="a residue is not below its prime"):
        read_request(PARAMS, ORDER, bytes(altered), LEVEL, "request")
    with pytest.raises(FormatError, match="SEAL cannot read it"):
        native_ciphertext(ring, bytes(altered), LEVEL, "request", seeded=True)


def test_both_backends_answer_the_same_request():
    bundle = small_bundle()
    client = Client(bundle.client)
    request = client.encrypt(np.random.default_rng(1).uniform(-1, 1, bundle.client.input_shape))
    answers = []
    for backend in ("engine", "seal"):
        server = Server(bundle.server, backend=backend)
        server.register(client.evaluation_key)
        answers.append(client.decrypt(server.run(request)))
    assert np.abs(answers[0] - answers[1]).max() < bundle.client.predicted_logit_error
