"""The steps of a request under the engine and under SEAL, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tenseal.sealapi as sealapi

from secure.engine.tables import engine_order
from secure.params import Params, make_params
from secure.parties.container import KEY_ID_BYTES, Container, ContainerKind, parse
from secure.parties.encryptor import Encryptor
from secure.parties.keys import SecretCipher, SecretKey
from secure.parties.native_form import native_ciphertext
from secure.parties.packed import read_request, write_reply
from secure.seal.context import Ring, load_ciphertext, make_ring, to_bytes

#: (ring degree, data primes, bits of a prime); requests are at the highest level.
RequestRings = tuple[tuple[int, int, float], ...]
REQUEST_RINGS: RequestRings = ((4096, 1, 40.0), (4096, 2, 30.0), (8192, 3, 40.0), (16384, 2, 47.0), (16384, 5, 47.0))
#: Ciphertexts of a request.
REQUEST_CIPHERTEXTS = 4
SCALE = 2.0**20
#: Any id: the messages of a measurement belong to no bundle.
BUNDLE_ID = "0" * 64
#: A step, with the ring and the level it is timed at.
Cell = tuple[str, int, int]


def request_steps(rings: RequestRings = REQUEST_RINGS) -> Iterator[tuple[Cell, Callable[[], object]]]:
    """Every step of `RequestTimes` in every ring. Each call handles REQUEST_CIPHERTEXTS ciphertexts."""
    for degree, levels, bits in rings:
        params = make_params(degree, [bits] * levels, bits + 0.5)
        for step, call in _steps(params):
            yield (step, degree, levels), call


def _steps(params: Params) -> Iterator[tuple[str, Callable[[], object]]]:
    degree, level, ring = params.poly_modulus_degree, params.levels, make_ring(params)
    native = sealapi.KeyGenerator(ring.context).secret_key()
    key = SecretKey(BUNDLE_ID, bytes(KEY_ID_BYTES), to_bytes(native))
    own, cipher = Encryptor(ring, key, level), SecretCipher(ring, key)
    order = engine_order(degree)
    slots = np.random.default_rng(degree).uniform(-1.0, 1.0, (REQUEST_CIPHERTEXTS, degree // 2))
    request = _message(ContainerKind.REQUEST, own.encrypt(slots, SCALE))
    by_seal = _message(ContainerKind.REQUEST, tuple(cipher.encrypt(row, level, SCALE) for row in slots))
    values = [read_request(params, order, item, level, "request") for item in _items(request, ContainerKind.REQUEST)]
    loaded = [load_ciphertext(ring, item, level, 2, "request") for item in _items(by_seal, ContainerKind.REQUEST)]
    places = np.argsort(order)

    def written() -> bytes:
        return _message(ContainerKind.REPLY, tuple(write_reply(params, places, value) for value in values))

    reply = written()
    yield "encrypt", lambda: _message(ContainerKind.REQUEST, own.encrypt(slots, SCALE))
    yield (
        "load",
        lambda: [
            read_request(params, order, item, level, "request") for item in _items(request, ContainerKind.REQUEST)
        ],
    )
    yield "write", written
    yield "decrypt", lambda: _decrypted(ring, cipher, reply, level)
    yield (
        "seal_encrypt",
        lambda: _message(ContainerKind.REQUEST, tuple(cipher.encrypt(row, level, SCALE) for row in slots)),
    )
    yield (
        "seal_load",
        lambda: [load_ciphertext(ring, item, level, 2, "request") for item in _items(by_seal, ContainerKind.REQUEST)],
    )
    yield "seal_write", lambda: _message(ContainerKind.REPLY, tuple(to_bytes(value) for value in loaded))


def _message(kind: ContainerKind, items: tuple[bytes, ...]) -> bytes:
    return Container(kind, BUNDLE_ID, bytes(KEY_ID_BYTES), items).to_bytes()


def _items(message: bytes, kind: ContainerKind) -> tuple[bytes, ...]:
    return parse(message, kind, "message").items


def _decrypted(ring: Ring, cipher: SecretCipher, reply: bytes, level: int) -> object:
    items = _items(reply, ContainerKind.REPLY)
    return [cipher.decrypt(native_ciphertext(ring, item, level, "reply", seeded=False), SCALE) for item in items]
