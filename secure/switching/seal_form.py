"""Keys of our own as SEAL's bytes, for plans that SEAL can run: one special prime, and a digit for every data prime.

A key that is cut to a level lacks digits and rows that no switch at this level reads. SEAL wants them all the same, so
zeros stand in their place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from secure.engine.tables import engine_order
from secure.plan import KeyManifest
from secure.seal.context import Ring
from secure.seal.evaluation_keys import GALOIS_NAME, RELIN_NAME
from secure.seal.key_frames import RELIN_INDEX, galois_index
from secure.seal.saved import header, whole_bytes
from secure.switching.reading import read_keys

Array = NDArray[np.float64]

_COUNT = struct.Struct("<Q")
#: SEAL's header of a whole item.
_HEADER_BYTES = 16


def relin_item(ring: Ring, manifest: KeyManifest, item: bytes) -> bytes:
    """SEAL's bytes of a packed item with the relinearization key.

    Raises: FormatError.
    """
    return _item(ring, (RELIN_INDEX,), read_keys(ring.params, (manifest.relin_level,), item, RELIN_NAME))


def galois_item(ring: Ring, manifest: KeyManifest, item: bytes) -> bytes:
    """SEAL's bytes of a packed item with Galois keys.

    Raises: FormatError.
    """
    keys = read_keys(ring.params, manifest.galois_levels, item, GALOIS_NAME)
    return _item(ring, [galois_index(element) for element in manifest.galois_elements], keys)


def _item(ring: Ring, indices: Sequence[int], keys: Iterator[Array]) -> bytes:
    """indices: where SEAL keeps each key, in ascending order."""
    places = np.argsort(engine_order(ring.params.poly_modulus_degree))
    parts = [struct.pack("<4Q", *ring.context.key_parms_id()), _COUNT.pack(indices[-1] + 1)]
    start = 0
    for index, key in zip(indices, keys, strict=True):
        parts += [_COUNT.pack(0) * (index - start), _COUNT.pack(ring.params.levels), *_digits(ring, key, places)]
        start = index + 1
    content = b"".join(parts)
    return header(_HEADER_BYTES + len(content)) + content


def _digits(ring: Ring, key: Array, places: NDArray[np.int64]) -> Iterator[bytes]:
    """SEAL's bytes of every digit of a key (digits, 2, rows, N)."""
    primes, degree, level = ring.params.seal_primes, ring.params.poly_modulus_degree, key.shape[2] - 1
    moduli = np.array([*primes[:level], primes[-1]], dtype=np.float64)[:, None]
    for digit in range(ring.params.levels):
        words = np.zeros((2, len(primes), degree), dtype="<u8")
        if digit < len(key):
            rows = np.where(key[digit] < 0, key[digit] + moduli, key[digit])[..., places]
            words[:, :level], words[:, -1] = rows[:, :level], rows[:, level]
        yield whole_bytes(words, ring.context.key_parms_id())
