"""An evaluation key holds exactly the keys of the plan, each complete and where it belongs; a server takes it whole."""

import struct
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tenseal.sealapi as seal

from compress.errors import FormatError, KeyNotRegisteredError
from secure.engine.ring import EngineKeys, EngineRing, key_rows
from secure.params import make_params
from secure.parties.keys import generate_keys
from secure.parties.server import Server
from secure.seal.context import from_bytes, make_ring, to_bytes
from secure.seal.evaluation_keys import load_all, load_in_turn
from secure.seal.frame import HEADER
from secure.seal.key_frames import galois_index, split_keys
from secure.seeded.keys import key_reader, read_key
from tests.secure.key_items import PARMS_ID_BYTES, put_together, sealed, taken_apart, with_items
from tests.secure.plans import small_bundle

BUNDLE = small_bundle()
RING = make_ring(BUNDLE.client.params)
INDICES = tuple(galois_index(element) for element in BUNDLE.client.keys.galois_elements)
_, KEY = generate_keys(BUNDLE.client, RING)
PARMS_ID, RELIN = taken_apart(KEY.items[0])
GALOIS = taken_apart(KEY.items[1])[1]
(FIRST, SECOND) = RELIN[0]


@pytest.fixture(scope="module", params=["engine", "seal"])
def server(request):
    return Server(BUNDLE.server, backend=request.param)


def changed(digit: bytes, offset: int, form: str, *values: int | float | bytes) -> bytes:
    found = bytearray(digit)
    struct.pack_into(form, found, offset, *values)
    return bytes(found)


#: Offsets in a digit: 16 bytes of header, then its fields, then the header and the number of the residues.
NTT, PARTS, DEGREE, PRIMES, SCALE, CORRECTION, NESTED, NUMBER, RESIDUES = 48, 49, 57, 65, 73, 81, 89, 105, 113
SEED = len(FIRST) - 81

RELIN_MUTATIONS = {
    "at a wrong index": ({2: RELIN[0]}, "it lacks the key that the bundle uses at index 0|it has .* at index"),
    "at two indices": ({0: RELIN[0], 1: RELIN[0]}, "it has a key that the bundle does not use at index 1"),
    "nowhere": ({}, "it has 0 places for keys"),
    "one digit too few": ({0: [FIRST]}, "the key at index 0 has 1 digits, not 2"),
    "one digit too many": ({0: [FIRST, SECOND, FIRST]}, "the key at index 0 has 3 digits, not 2"),
    "empty digit": ({0: [FIRST, b""]}, "cut off"),
    "truncated digit": ({0: [FIRST, SECOND[:-1]]}, "cut off"),
    "other parms_id": ({0: [changed(FIRST, 16, "<Q", 7), SECOND]}, "a level, size or form that no key has"),
    "coefficient form": ({0: [changed(FIRST, NTT, "<B", 0), SECOND]}, "a level, size or form that no key has"),
    "three parts": ({0: [changed(FIRST, PARTS, "<Q", 3), SECOND]}, "a level, size or form that no key has"),
    "other degree": ({0: [changed(FIRST, DEGREE, "<Q", 8192), SECOND]}, "a level, size or form that no key has"),
    "fewer primes": ({0: [changed(FIRST, PRIMES, "<Q", 2), SECOND]}, "a level, size or form that no key has"),
    "other scale": ({0: [changed(FIRST, SCALE, "<d", float("nan")), SECOND]}, "a level, size or form"),
    "other correction": ({0: [changed(FIRST, CORRECTION, "<Q", 0), SECOND]}, "a level, size or form"),
    "other number": ({0: [changed(FIRST, NUMBER, "<Q", 2**60), SECOND]}, "holds 1152921504606846976 residues, not"),
    "nested header": ({0: [changed(FIRST, NESTED, "<H", 1), SECOND]}, "holds 12288 residues, not 12288"),
    "other size": ({0: [changed(FIRST, 8, "<Q", 2**50), SECOND]}, "is no key of 3 primes and N=4096"),
    "compressed digit": ({0: [changed(FIRST, 5, "<B", 2), SECOND]}, "is no key of 3 primes and N=4096"),
    "unknown generator": ({0: [changed(FIRST, SEED + HEADER.size, "<B", 0), SECOND]}, "a malformed seed"),
    "seed of another size": ({0: [changed(FIRST, SEED + 8, "<Q", 1), SECOND]}, "a malformed seed"),
    "residue at the prime": (
        {0: [changed(FIRST, RESIDUES, "<Q", BUNDLE.client.params.data_primes[0]), SECOND]},
        "SEAL cannot read it",
    ),
    "residue of 64 bits": ({0: [FIRST, changed(SECOND, RESIDUES + 8, "<Q", 2**64 - 1)]}, "SEAL cannot read it"),
}


def test_a_key_of_a_client_is_split_by_its_indices():
    parts = list(split_keys(KEY.items[1], RING, INDICES, "key"))
    assert [part[-len(digits[-1]) :] for part, digits in zip(parts, GALOIS.values(), strict=True)] == [
        digits[-1] for digits in GALOIS.values()
    ]
    assert tuple(GALOIS) == INDICES


@pytest.mark.parametrize("mutation", RELIN_MUTATIONS)
def test_a_relinearization_key_that_is_not_as_it_should_be_is_refused(server, mutation):
    digits, message = RELIN_MUTATIONS[mutation]
    refuse(server, with_items(KEY, put_together(PARMS_ID, digits), KEY.items[1]), message)


GALOIS_MUTATIONS = {
    "moved": ({INDICES[0]: GALOIS[INDICES[0]], INDICES[1] + 1: GALOIS[INDICES[1]]}, None, "lacks the key .* index 13"),
    "one more": ({**GALOIS, 7: GALOIS[INDICES[0]]}, 4096, "has a key that the bundle does not use at index 7"),
    "one fewer": ({INDICES[1]: GALOIS[INDICES[1]]}, 4096, "lacks the key that the bundle uses at index 4"),
    "one digit fewer": ({INDICES[0]: GALOIS[INDICES[0]], INDICES[1]: RELIN[0][:1]}, 4096, "has 1 digits, not 2"),
    "too few places": (GALOIS, 13, "it has 13 places for keys, the last key is at place 13"),
    "too many places": (GALOIS, 4097, "it has 4097 places for keys"),
    "a world of places": (GALOIS, 2**63, "it has 9223372036854775808 places for keys"),
    "places cut off": (GALOIS, None, None),
}


@pytest.mark.parametrize("mutation", GALOIS_MUTATIONS)
def test_rotation_keys_that_are_not_as_they_should_be_are_refused(server, mutation):
    digits, places, message = GALOIS_MUTATIONS[mutation]
    item = put_together(PARMS_ID, digits, places)
    if message is None:  # fewer places than SEAL writes, but every key of the plan
        assert server.register(with_items(KEY, KEY.items[0], item)) != KEY.key_id
    else:
        refuse(server, with_items(KEY, KEY.items[0], item), message)


def test_content_around_the_keys_is_refused(server):
    refuse(server, with_items(KEY, put_together(PARMS_ID, RELIN, tail=b"\0"), KEY.items[1]), "bytes follow its last")
    refuse(server, with_items(KEY, put_together(bytes(PARMS_ID_BYTES), RELIN), KEY.items[1]), "its parameters are not")
    refuse(server, with_items(KEY, sealed(b""), KEY.items[1]), "its keys are cut off")
    refuse(server, with_items(KEY, KEY.items[1], KEY.items[0]), "it has 4096 places|lacks the key that the bundle uses")


def refuse(server, key, message):
    """The key is refused under both backends, and nothing of it is kept."""
    with pytest.raises(FormatError, match=f"evaluation key.*({message})"):
        server.register(key)
    with pytest.raises(
        KeyNotRegisteredError, match=f"no evaluation key {key.key_id.hex()[:8]} is registered"
    ) as caught:
        server.run_ciphertexts(key.key_id, [])
    assert caught.value.key_id == key.key_id


def test_a_key_without_its_hash_as_id_is_refused(server):
    for key_id in (bytes(16), KEY.key_id[:-1] + bytes([KEY.key_id[-1] ^ 1])):
        refuse(server, replace(KEY, key_id=key_id), "field 'key id' is not the hash of its content")
    altered = replace(KEY, items=(put_together(PARMS_ID, {0: [SECOND, FIRST]}), KEY.items[1]))
    refuse(server, altered, "field 'key id' is not the hash of its content")


def test_all_ways_of_loading_give_the_same_residues():
    """SEAL's objects all at once; one after the other; and the bytes themselves, without SEAL."""
    manifest, engine = BUNDLE.server.plan.key_manifest, EngineRing(RING)
    read = key_reader(RING)
    ways = (load_all, partial(load_in_turn, read=lambda content: None), partial(load_in_turn, read=read))
    whole, *others = (EngineKeys(engine, load(KEY.items, manifest, RING), manifest) for load in ways)
    assert whole.galois.keys() == set(manifest.galois_elements)
    for keys in others:
        assert np.array_equal(whole.relin, keys.relin)
        assert keys.galois.keys() == whole.galois.keys()
        assert all(np.array_equal(whole.galois[element], keys.galois[element]) for element in whole.galois)


@pytest.mark.parametrize("bits", [21, 30, 41, 50])
def test_a_key_of_primes_of_any_size_is_read_as_seal_reads_it(bits):
    params = make_params(8192, [bits, bits, bits], 50 if bits < 50 else 49.5)
    ring, native = make_ring(params), seal.KeyGenerator
    item = to_bytes(native(ring.context).create_relin_keys())
    (content,) = split_keys(item, ring, (0,), "key")
    loaded = from_bytes(seal.RelinKeys(), ring, content, "key", len(content))
    engine = EngineRing(ring)
    assert np.array_equal(read_key(ring, engine.order, content), key_rows(engine, loaded.key(2), 3))


READ_BY_SEAL = {
    "a residue at the prime": (RESIDUES, "<Q", BUNDLE.client.params.data_primes[0]),
    "a residue of 64 bits": (RESIDUES, "<Q", 2**64 - 1),
    "another generator": (SEED + HEADER.size, "<B", 2),
    "another version": (SEED + 3, "<B", 3),
    "a scale that is infinite": (SCALE, "<d", float("inf")),
    "a parms_id of another level": (16, "<Q", 7),
}


@pytest.mark.parametrize("what", READ_BY_SEAL)
def test_a_key_that_is_not_exactly_as_a_client_sends_it_is_left_to_seal(what):
    (content,) = split_keys(KEY.items[0], RING, (0,), "key")
    order, start = EngineRing(RING).order, len(content) - 2 * len(FIRST)
    assert read_key(RING, order, content) is not None
    for digit in range(2):
        offset, *value = READ_BY_SEAL[what]
        altered = content[:start] + changed(content[start:], digit * len(FIRST) + offset, *value)
        assert len(altered) == len(content)
        assert read_key(RING, order, altered) is None
    assert read_key(RING, order, content[:-1]) is None
    assert read_key(RING, order, content + b"\0") is None


def test_a_registration_of_a_clients_key_leaves_nothing_to_seal(monkeypatch):
    def refused(*arguments):
        raise AssertionError("SEAL is asked")

    server = Server(BUNDLE.server, backend="engine")
    monkeypatch.setattr("secure.seal.evaluation_keys.from_bytes", refused)
    assert server.register(KEY) == KEY.key_id
