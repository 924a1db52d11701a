"""Ciphertexts as bits: what a server with the engine reads and writes.

The second part of a request is expanded from its seed as that of a key is: by ChaCha20, in a row per data prime.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.errors import FormatError
from secure.ciphertext_shape import HEAD, MAGIC, SEED_BYTES, WHOLE_PARTS, check_item, item_bytes
from secure.draws.bits import pack_row, row_words
from secure.draws.chacha import initial_state
from secure.params import Params
from secure.switching.reading import expand_key

Array = NDArray[np.float64]


def read_request(params: Params, order: NDArray[np.int64], item: bytes, level: int, name: str) -> Array:
    """(2, level, N): the residues of a request's ciphertext, centred, in the engine's order.

    order: SEAL's index of each place of the engine. A seed makes no second part of zeros that anybody could find, so
    the ciphertext is not transparent.
    Raises: FormatError.
    """
    check_item(params, level, item, name, seeded=True)
    start = HEAD.size + SEED_BYTES
    packed = np.frombuffer(item, dtype="<u8", offset=start)
    primes = np.array(params.data_primes[:level], dtype=np.float64)
    result = np.empty((1, 2, level, params.poly_modulus_degree))
    state = initial_state(item[HEAD.size : start], (0, 0, 0))
    bits = np.array(params.coeff_modulus_bits[:level])
    if not expand_key(state, packed, primes, np.arange(level), bits, order, result):
        raise FormatError(f"{name}: a residue is not below its prime; it is altered")
    return result[0]


def write_reply(params: Params, places: NDArray[np.int64], value: Array) -> bytes:
    """A ciphertext (2, level, N), centred, in the engine's order, as a reply's item.

    places: the engine's place for each index of SEAL.
    """
    level = value.shape[1]
    result = bytearray(item_bytes(params, level, seeded=False))
    HEAD.pack_into(result, 0, MAGIC, WHOLE_PARTS)
    packed, start = np.frombuffer(result, dtype="<u8", offset=HEAD.size), 0
    for part in value:
        for row, prime, bits in zip(part, params.data_primes, params.coeff_modulus_bits, strict=False):
            size = row_words(len(row), bits)
            pack_row(np.where(row < 0, row + prime, row)[places], bits, packed[start : start + size])
            start += size
    return bytes(result)
