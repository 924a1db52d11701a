"""SEAL's saved ciphertexts as arrays of residues, and back.

offset  bytes  field (after SEAL's 16-byte header, inflated)
0       32     parms_id
32      1      in NTT form
33      8 each parts, N, primes
57      8      scale, float64
65      8      correction factor
73      16     header of the nested array
89      8      residues that follow
97      8 each residues [part][prime][N], below the prime, in SEAL's order
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from compress.errors import BackendError
from secure.seal.context import to_bytes
from secure.seal.frame import HEADER, SEAL_MAGIC, ZSTD

Array = NDArray[np.float64]

_BODY = struct.Struct("<32sBQQQdQ16sQ")
#: SEAL's version bytes. SEAL itself checks what it loads.
_VERSION = (4, 3)


def residues_of(native: Any, primes: Array, order: NDArray[np.int64]) -> Array:
    """(parts, primes, N): residues of a SEAL ciphertext, centred, in the engine's order.

    primes: those of the ciphertext, float64. Raises: BackendError when SEAL's bytes are not as described.
    """
    saved = to_bytes(native)
    body = saved[HEADER.size :]
    if HEADER.unpack_from(saved)[4] == ZSTD:
        body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
    _, ntt_form, parts, degree, count, _, _, _, residues = _BODY.unpack_from(body)
    if not ntt_form or count != len(primes) or degree != len(order) or residues != parts * count * degree:
        raise BackendError("SEAL saved a ciphertext in another form than the engine reads; use the seal backend")
    words = np.frombuffer(body, dtype="<u8", count=residues, offset=_BODY.size).reshape(parts, count, degree)
    values = words[..., order].astype(np.float64)
    moduli = primes[:, None]
    return np.ascontiguousarray(
        np.where(values > moduli / 2, values - moduli, values)
    )  # indexing changed the order of the axes


def seal_bytes(value: Array, primes: Array, places: NDArray[np.int64], parms_id: Any) -> bytes:
    """The bytes that SEAL would save for residues (parts, level, N). places: the engine's place for each index of
    SEAL."""
    parts, level, degree = value.shape
    moduli = primes[:level, None]
    words = np.where(value < 0, value + moduli, value)[..., places].astype("<u8")
    nested = HEADER.pack(SEAL_MAGIC, HEADER.size, *_VERSION, 0, 0, HEADER.size + 8 + words.nbytes)
    head = _BODY.pack(struct.pack("<4Q", *parms_id), 1, parts, degree, level, 1.0, 1, nested, words.size)
    body = head + words.tobytes()
    body = zstandard.ZstdCompressor(level=1).compress(body)
    return HEADER.pack(SEAL_MAGIC, HEADER.size, *_VERSION, ZSTD, 0, HEADER.size + len(body)) + body
