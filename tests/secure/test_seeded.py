"""Seeded ciphertexts without SEAL: the expansion of a seed, and bytes read straight into the engine's arrays."""

import struct

import numpy as np
import pytest
import tenseal.sealapi as seal
import zstandard

from compress.errors import FormatError
from secure.engine.residues import residues_of
from secure.engine.tables import engine_order
from secure.params import make_params
from secure.seal.context import load_ciphertext, make_ring, to_bytes
from secure.seal.frame import HEADER, UNCOMPRESSED, ZSTD
from secure.seal.saved import BODY, SEED, header, seeded_parts
from secure.seeded import expansion
from secure.seeded.expansion import BUFFER_WORDS, reduce_words, uniform
from secure.seeded.reading import read_seeded

#: SEAL's generator refuses hardly any word for a prime just below a power of two, but one in 2^15 for the first two.
PARAMS = make_params(8192, [49.45, 49.55, 43], 50)
DEGREE, LEVEL = PARAMS.poly_modulus_degree, 3


@pytest.fixture(scope="module")
def ring():
    return make_ring(PARAMS)


@pytest.fixture(scope="module")
def encryptor(ring):
    return seal.Encryptor(ring.context, seal.KeyGenerator(ring.context).secret_key())


@pytest.fixture(scope="module")
def order():
    return engine_order(DEGREE)


def fresh(ring, encryptor, level=LEVEL):
    return to_bytes(encryptor.encrypt_zero_symmetric(ring.parms_ids[level]))


def seal_reads(ring, order, content, level=LEVEL):
    native = load_ciphertext(ring, content, level, 2, "request")
    return residues_of(native, np.array(PARAMS.data_primes[:level], dtype=np.float64), order)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_bytes_are_read_as_seal_reads_them(ring, encryptor, order, level):
    for _ in range(5):
        content = fresh(ring, encryptor, level)
        found = read_seeded(ring, order, content, level, "request")
        assert np.array_equal(found, seal_reads(ring, order, content, level))


def test_words_that_are_too_large_are_drawn_again_as_seal_does(ring, encryptor, order):
    """One word in 2^15 is refused for a prime of 49 bits, so a third of all ciphertexts contain one."""
    primes, refused = PARAMS.data_primes, 0
    for _ in range(40):
        content = fresh(ring, encryptor)
        words, seed = seeded_parts(content, LEVEL, DEGREE, ring.parms_ids[LEVEL])
        stream = np.empty(LEVEL * DEGREE, dtype=np.uint64)
        roots = expansion._roots(seed, 0, stream.size // BUFFER_WORDS)
        expansion.expand_nodes(roots, stream, np.empty((16, expansion.NODES), dtype=np.uint64))
        plain = stream.reshape(LEVEL, DEGREE) % np.array(primes, dtype=np.uint64)[:, None]
        refused += int((plain != uniform(seed, primes, DEGREE)).sum())
        assert np.array_equal(read_seeded(ring, order, content, LEVEL, "request"), seal_reads(ring, order, content))
    assert refused > 0


def test_further_words_may_need_further_buffers():
    """Every word is refused once: the replacements come in order, buffer after buffer."""
    prime, count, size = 97, 10, 4
    values = np.full((1, count), 2**64 - 1, dtype=np.uint64)
    primes, ceilings = np.array([prime], dtype=np.uint64), np.array([2**64 - 50], dtype=np.uint64)
    drawn, place, used = np.arange(1000, 1000 + count, dtype=np.uint64), 0, 0
    while place < count:
        buffer = np.resize(drawn[used : used + size], size)
        place, used = reduce_words(values, primes, ceilings, buffer, place, used)
    assert values[0].tolist() == [word % prime for word in range(1000, 1000 + count)]
    assert used == count


@pytest.mark.parametrize("prime", [1048583, 2**30 + 3, 2**50 - 27])
def test_remainders_are_those_of_integers(prime):
    words = np.random.default_rng(0).integers(0, 2**64 - 1, 20000, dtype=np.uint64, endpoint=True)
    words[:6] = [0, prime - 1, prime, 2**63 - 1, 2**63, 2**64 - 1]
    found = words.copy()
    expansion._remainders(found, np.uint64(prime))
    assert np.array_equal(found, words % np.uint64(prime))


def inflated(content):
    return zstandard.ZstdDecompressor().decompressobj().decompress(content[HEADER.size :])


def packed(body, compression=ZSTD):
    if compression == ZSTD:
        body = zstandard.ZstdCompressor().compress(body)
    return header(HEADER.size + len(body), compression) + body


def test_bytes_without_compression_are_read(ring, encryptor, order):
    content = packed(inflated(fresh(ring, encryptor)), UNCOMPRESSED)
    assert np.array_equal(read_seeded(ring, order, content, LEVEL, "request"), seal_reads(ring, order, content))


FIELDS = {
    "parms_id": (0, b"\1" * 32),
    "form": (32, b"\0"),
    "parts": (33, struct.pack("<Q", 3)),
    "degree": (41, struct.pack("<Q", 4096)),
    "primes": (49, struct.pack("<Q", 2)),
    "scale": (57, struct.pack("<d", 0.0)),
    "endless scale": (57, struct.pack("<d", np.inf)),
    "correction": (65, struct.pack("<Q", 2)),
    "nested magic": (73, b"\0\0"),
    "nested size": (81, struct.pack("<Q", 7)),
    "count": (89, struct.pack("<Q", 5)),
    "residue at its prime": (BODY.size + 8, struct.pack("<Q", PARAMS.data_primes[0])),
    "residue of 64 bits": (BODY.size + 8 * (LEVEL * DEGREE - 1), struct.pack("<Q", 2**64 - 1)),
    "seed magic": (BODY.size + 8 * LEVEL * DEGREE, b"\0\0"),
    "generator": (BODY.size + 8 * LEVEL * DEGREE + 16, b"\7"),
}


@pytest.mark.parametrize("field", FIELDS)
def test_what_differs_in_a_field_is_left_to_seal(ring, encryptor, order, field):
    body = bytearray(inflated(fresh(ring, encryptor)))
    place, value = FIELDS[field]
    body[place : place + len(value)] = value
    assert read_seeded(ring, order, packed(bytes(body)), LEVEL, "request") is None


def test_other_objects_are_left_to_seal(ring, encryptor, order):
    content = fresh(ring, encryptor)
    whole = to_bytes(load_ciphertext(ring, content, LEVEL, 2, "request"))
    older = content[:4] + b"\1" + content[5:]
    broken = bytearray(content)
    broken[HEADER.size + 40] ^= 0xFF
    longer = packed(inflated(content) + b"\0")
    for other in (whole, older, longer, packed(inflated(content)[:-1]), fresh(ring, encryptor, 2)):
        assert read_seeded(ring, order, other, LEVEL, "request") is None
    assert SEED.size == 81


def test_bytes_that_could_inflate_too_far_are_refused_before(ring, order):
    with pytest.raises(FormatError, match="it could inflate to"):
        read_seeded(ring, order, packed(bytes(2**24)), LEVEL, "request")
    with pytest.raises(FormatError, match="too few for a SEAL object"):
        read_seeded(ring, order, b"short", LEVEL, "request")


def test_damaged_compression_is_left_to_seal(ring, encryptor, order):
    content = bytearray(fresh(ring, encryptor))
    content[len(content) // 2] ^= 0xFF
    found = read_seeded(ring, order, bytes(content), LEVEL, "request")
    assert found is None or found.shape == (2, LEVEL, DEGREE)
