"""The bytes of saved ciphertexts and keys, as SEAL 4 writes them. Pure.

A ciphertext:

offset  bytes  field (after SEAL's 16-byte header, inflated)
0       32     parms_id
32      1      in NTT form
33      8 each parts, N, primes
57      8      scale, float64
65      8      correction factor
73      16     header of the nested array
89      8      residues that follow
97      8 each residues [part][prime][N], below the prime, in SEAL's order

A seeded ciphertext has the residues of its first part only, and behind them the seed of the second one:

0       16     header of the seed
16      1      generator: 1 BLAKE2Xb
17      64     seed

A secret key:

0       32     parms_id
32      8      residues
40      8      scale, float64
48      16     header of the nested array
64      8      residues that follow
72      8 each residues [prime][N] of all primes, in SEAL's order
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from compress.errors import FormatError
from secure.seal.frame import HEADER, SEAL_MAGIC, UNCOMPRESSED, ZSTD

Words = NDArray[np.uint64]

BODY = struct.Struct("<32sBQQQdQ16sQ")
KEY = struct.Struct("<32sQd16sQ")
SEED = struct.Struct("<16sB64s")
BLAKE2XB = 1
WORD_BYTES = 8
#: SEAL's version bytes.
VERSION = (4, 3)


def header(size_bytes: int, compression: int = UNCOMPRESSED) -> bytes:
    """SEAL's header of an object of this size, the header included."""
    return HEADER.pack(SEAL_MAGIC, HEADER.size, *VERSION, compression, 0, size_bytes)


def seeded_parts(content: bytes, level: int, degree: int, parms_id: Sequence[int]) -> tuple[Words, bytes] | None:
    """(residues of the first part (level, N), seed) of a seeded ciphertext in NTT form at this level.

    None for any other bytes, those included that SEAL would read too. content: bytes that `check_frame` passed.
    Residues may be too large.
    """
    body = _inflated(content)
    return None if body is None else seeded_body(body, level, degree, parms_id)


def seeded_size(level: int, degree: int) -> int:
    """Bytes of a seeded ciphertext of this many primes, without SEAL's header."""
    return BODY.size + level * degree * WORD_BYTES + SEED.size


def seeded_body(body: bytes, level: int, degree: int, parms_id: Sequence[int]) -> tuple[Words, bytes] | None:
    """`seeded_parts` of bytes after SEAL's header that are not compressed."""
    size_bytes = seeded_size(level, degree)
    if len(body) != size_bytes:
        return None
    wanted = _fields(level, degree, level * degree, parms_id)
    found = BODY.unpack_from(body)
    scale = found[5]
    seed_header, generator, seed = SEED.unpack_from(body, size_bytes - SEED.size)
    if found[:5] != wanted[:5] or found[6:] != wanted[6:] or not 0 < scale < np.inf:
        return None
    if seed_header != header(SEED.size) or generator != BLAKE2XB:
        return None
    return np.frombuffer(body, dtype="<u8", count=level * degree, offset=BODY.size).reshape(level, degree), seed


def key_words(content: bytes, primes: int, degree: int) -> Words:
    """(primes, N): the residues of a secret key that SEAL saved.

    Raises: FormatError for bytes of another form.
    """
    size_bytes = KEY.size + primes * degree * WORD_BYTES
    body = _inflated(content)
    if body is None or len(body) != size_bytes or KEY.unpack_from(body)[1] != primes * degree:
        raise FormatError("secret key: SEAL saved it in another form than is read here; make new keys with keygen")
    return np.frombuffer(body, dtype="<u8", count=primes * degree, offset=KEY.size).reshape(primes, degree)


def whole_bytes(words: Words, parms_id: Sequence[int]) -> bytes:
    """SEAL's bytes, uncompressed, of a ciphertext with both parts: residues (2, level, N) in its order."""
    _, level, degree = words.shape
    body = BODY.pack(*_fields(level, degree, words.size, parms_id)) + words.astype("<u8", copy=False).tobytes()
    return header(HEADER.size + len(body)) + body


def _fields(level: int, degree: int, count: int, parms_id: Sequence[int]) -> tuple[Any, ...]:
    """The fields before the residues. Their scale is 1: the plan carries the scales."""
    nested = header(HEADER.size + WORD_BYTES + count * WORD_BYTES)
    return struct.pack("<4Q", *parms_id), 1, 2, degree, level, 1.0, 1, nested, count


def _inflated(content: bytes) -> bytes | None:
    """What follows SEAL's header, inflated; None for a header of another version or a frame that zstd refuses.

    `check_frame` has limited the size."""
    if HEADER.unpack_from(content)[:4] != (SEAL_MAGIC, HEADER.size, *VERSION):
        return None
    if content[5] != ZSTD:
        return content[HEADER.size :]
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(content[HEADER.size :])
    except zstandard.ZstdError:
        return None
