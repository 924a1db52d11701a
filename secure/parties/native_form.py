"""Ciphertexts as SEAL's objects, for who computes or decrypts with SEAL: from strings of bits, or from SEAL's bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from secure.ciphertext_shape import HEAD, SEED_BYTES, SEEDED_PARTS, WHOLE_PARTS, check_item, is_packed, unpacked
from secure.params import Params
from secure.seal.context import Ring, load_ciphertext
from secure.seal.saved import Words, whole_bytes


def native_ciphertext(ring: Ring, item: bytes, level: int, name: str, *, seeded: bool) -> Any:
    """SEAL's object of an item in either form: a ciphertext of two parts at this level.

    seeded: whether a packed item has a seed in place of its second part, as requests have. SEAL checks that residues
    are below their primes.
    Raises: FormatError.
    """
    if is_packed(item):
        check_item(ring.params, level, item, name, seeded=seeded)
        words = _seeded_words(ring.params, level, item) if seeded else _words(ring, level, item)
        item = whole_bytes(words, ring.parms_ids[level])
    return load_ciphertext(ring, item, level, WHOLE_PARTS, name)


def _words(ring: Ring, level: int, item: bytes) -> Words:
    packed = np.frombuffer(item, dtype="<u8", offset=HEAD.size)
    return unpacked(ring.params, level, packed, WHOLE_PARTS)


def _seeded_words(params: Params, level: int, item: bytes) -> Words:
    """(2, level, N): both parts of a request's ciphertext, the second one expanded from its seed."""
    from secure.draws.chacha import initial_state  # loads a compiler, which answers do not need
    from secure.draws.sampling import UNIFORM_DOMAIN, set_nonce, uniform_row

    start = HEAD.size + SEED_BYTES
    first = unpacked(params, level, np.frombuffer(item, dtype="<u8", offset=start), SEEDED_PARTS)
    second = np.empty_like(first)
    state = initial_state(item[HEAD.size : start], (0, 0, 0))
    scratch, row = np.empty(params.poly_modulus_degree, dtype=np.uint64), np.empty(params.poly_modulus_degree)
    for which, (prime, bits) in enumerate(zip(params.data_primes[:level], params.coeff_modulus_bits, strict=False)):
        set_nonce(state, UNIFORM_DOMAIN, which, 0)
        uniform_row(state, float(prime), bits, scratch, row)
        second[0, which] = row
    return np.concatenate([first, second])
