"""The keys of a client as the engine's residues, one after the other, without SEAL.

It takes exactly what SEAL saves for a seeded key. Keys whose bytes differ in any field go to SEAL, which reads them or
says what is wrong with them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from secure.engine.tables import engine_order
from secure.seal.context import Ring
from secure.seal.frame import HEADER
from secure.seal.saved import seeded_body, seeded_size
from secure.seeded.expansion import uniform
from secure.seeded.reading import centre

Array = NDArray[np.float64]

#: Before the digits of a key: SEAL's header, the parms_id, the number of indices, the number of digits.
_KEY = struct.Struct(f"<{HEADER.size}s32sQQ")


def key_reader(ring: Ring) -> Callable[[bytes], Array | None]:
    """What reads one key of `secure.seal.key_frames.split_keys`: see `read_key`."""
    order = engine_order(ring.params.poly_modulus_degree)
    return lambda content: read_key(ring, order, content)


def read_key(ring: Ring, order: NDArray[np.int64], content: bytes) -> Array | None:
    """(digits, 2, primes, N): the residues of a seeded key, centred, in the engine's order.

    content: SEAL's bytes of a key, uncompressed, whose fields `split_keys` has checked. order: SEAL's index of each
    place of the engine. None for bytes that only SEAL can judge, such as a residue that is not below its prime.
    """
    primes, degree, digits = ring.params.seal_primes, ring.params.poly_modulus_degree, ring.params.levels
    moduli, parms_id = np.array(primes, dtype=np.float64), ring.context.key_parms_id()
    size_bytes = HEADER.size + seeded_size(len(primes), degree)
    if len(content) != _KEY.size + digits * size_bytes:
        return None
    rows = np.empty((digits, 2, len(primes), degree))
    for digit in range(digits):
        start = _KEY.size + digit * size_bytes + HEADER.size
        found = seeded_body(content[start : start + size_bytes - HEADER.size], len(primes), degree, parms_id)
        if found is None or not centre(found[0], order, moduli, rows[digit, 0]):
            return None
        centre(uniform(found[1], primes, degree), order, moduli, rows[digit, 1])
    return rows
