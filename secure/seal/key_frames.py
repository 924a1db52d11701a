"""SEAL's bytes of relinearization and Galois keys, checked index by index before SEAL reads them.

SEAL accepts keys at any index, and reads past the end of its memory when an operation looks for a key that is not
where it belongs. So the bytes must hold exactly the keys that the plan uses, each complete, and nothing else. They are
inflated and checked one key at a time: a set of hundreds of keys never lies in memory as a whole.

offset  bytes  field (after SEAL's 16-byte header, inflated)
0       32     parms_id of the key level
32      8      number of indices that follow
               per index: 8 bytes with the number of digits (0: no key here), then each digit:
        16         header, uncompressed
        73         parms_id, in NTT form, parts, N, primes, scale, correction factor (as secure/engine/residues.py)
        16 + 8     header of the residues, and their number
        8 each     residues of both parts, or of the first part alone
        81         seed of the second part, when it is left out: header, kind of generator, 64 bytes
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import IO

import zstandard

from compress.errors import FormatError
from secure.seal.context import RESIDUE_BYTES, Ring
from secure.seal.frame import HEADER, SEAL_MAGIC, UNCOMPRESSED, check_frame

_BODY = struct.Struct("<32sBQQQdQ")
_COUNT = struct.Struct("<Q")
_SEED_BYTES = HEADER.size + 1 + 64
#: SEAL's generators: BLAKE2Xb and SHAKE-256.
_GENERATORS = (1, 2)
#: Index of the relinearization key of a square, and of a Galois element.
RELIN_INDEX = 0


def galois_index(element: int) -> int:
    """Where SEAL keeps the key of a Galois element."""
    return (element - 1) // 2


def key_bytes(ring: Ring) -> int:
    """Bytes of one key in memory: two polynomials over all primes for every data prime."""
    params = ring.params
    return params.levels * 2 * len(params.seal_primes) * params.poly_modulus_degree * RESIDUE_BYTES


def split_keys(content: bytes, ring: Ring, indices: Sequence[int], name: str) -> Iterator[bytes]:
    """For each index, in ascending order, SEAL's bytes of a relinearization key of the key at that index.

    After the last key the rest of the content is checked before that key is returned, so whoever has taken all keys
    knows that the content holds no other.
    Raises: FormatError naming what is wrong.
    """
    check_frame(content, name, len(indices) * key_bytes(ring) + ring.params.poly_modulus_degree * RESIDUE_BYTES)
    with closing(_inflating(content)) as stream:
        yield from _split(_Reader(stream, name), ring, indices)


def _inflating(content: bytes) -> IO[bytes]:
    from io import BytesIO

    body = BytesIO(content)
    body.seek(HEADER.size)
    if HEADER.unpack_from(content)[4] == UNCOMPRESSED:
        return body
    stream: IO[bytes] = zstandard.ZstdDecompressor().stream_reader(body)
    return stream


class _Reader:
    """Reads exact numbers of bytes of a stream."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self.name = stream, name

    def take(self, count: int) -> bytes:
        """Raises: FormatError when fewer are left."""
        parts, missing = [], count
        while missing:
            try:
                part = self._stream.read(missing)
            except (zstandard.ZstdError, MemoryError) as error:
                raise FormatError(f"{self.name}: its compressed part is damaged ({error})") from error
            if not part:
                raise FormatError(f"{self.name}: its keys are cut off; make new keys with keygen")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def number(self) -> int:
        return int(_COUNT.unpack(self.take(_COUNT.size))[0])

    def at_end(self) -> bool:
        try:
            return not self._stream.read(1)
        except zstandard.ZstdError:
            return False


def _split(reader: _Reader, ring: Ring, indices: Sequence[int]) -> Iterator[bytes]:
    name, parms_id = reader.name, struct.pack("<4Q", *ring.context.key_parms_id())
    if reader.take(len(parms_id)) != parms_id:
        raise FormatError(f"{name}: its parameters are not those of the bundle; make new keys with keygen")
    places = reader.number()
    if places > ring.params.poly_modulus_degree or places <= indices[-1]:
        raise FormatError(f"{name}: it has {places} places for keys, the last key is at place {indices[-1]}")
    held, start = b"", 0
    for index in indices:
        _no_keys(reader, start, index)
        if held:
            yield held
        digits = reader.number()
        if not digits:
            raise FormatError(
                f"{name}: it lacks the key that the bundle uses at index {index}; make new keys with keygen"
            )
        held, start = _one_key(reader, ring, parms_id, digits, index), index + 1
    _no_keys(reader, start, places)
    if not reader.at_end():
        raise FormatError(f"{name}: bytes follow its last key; make new keys with keygen")
    yield held


def _no_keys(reader: _Reader, start: int, end: int) -> None:
    """Reads the numbers of digits at the indices from start to end - 1, which must be 0."""
    numbers = reader.take((end - start) * _COUNT.size)
    if any(numbers):
        used = start + next(place for place, byte in enumerate(numbers) if byte) // _COUNT.size
        raise FormatError(
            f"{reader.name}: it has a key that the bundle does not use at index {used}; make new keys with keygen"
        )


def _one_key(reader: _Reader, ring: Ring, parms_id: bytes, digits: int, index: int) -> bytes:
    """SEAL's bytes, uncompressed, of a relinearization key that is the key at this index."""
    if digits != ring.params.levels:
        raise FormatError(f"{reader.name}: the key at index {index} has {digits} digits, not {ring.params.levels}")
    body = [parms_id, _COUNT.pack(1), _COUNT.pack(digits)]
    body += [_digit(reader, ring, parms_id, f"digit {number} at index {index}") for number in range(digits)]
    content = b"".join(body)
    return (
        HEADER.pack(SEAL_MAGIC, HEADER.size, *_version(content), UNCOMPRESSED, 0, HEADER.size + len(content)) + content
    )


def _digit(reader: _Reader, ring: Ring, parms_id: bytes, where: str) -> bytes:
    """One digit, its fields checked; SEAL checks the residues."""
    primes, degree, name = len(ring.params.seal_primes), ring.params.poly_modulus_degree, reader.name
    head = reader.take(HEADER.size)
    magic, header_bytes, _, _, compression, _, total = HEADER.unpack(head)
    half = primes * degree
    fixed = HEADER.size + _BODY.size + HEADER.size + _COUNT.size
    sizes = {fixed + 2 * half * RESIDUE_BYTES: 2 * half, fixed + half * RESIDUE_BYTES + _SEED_BYTES: half}
    if (magic, header_bytes, compression) != (SEAL_MAGIC, HEADER.size, UNCOMPRESSED) or total not in sizes:
        raise FormatError(f"{name}: {where} is no key of {primes} primes and N={degree}; make new keys with keygen")
    content = reader.take(total - HEADER.size)
    found = _BODY.unpack_from(content)
    if found != (parms_id, 1, 2, degree, primes, 1.0, 1):
        raise FormatError(f"{name}: {where} has a level, size or form that no key has; make new keys with keygen")
    nested = HEADER.unpack_from(content, _BODY.size)
    count = _COUNT.unpack_from(content, _BODY.size + HEADER.size)[0]
    residues_bytes = HEADER.size + _COUNT.size + sizes[total] * RESIDUE_BYTES
    right = (nested[0], nested[1], nested[4], nested[6]) == (SEAL_MAGIC, HEADER.size, UNCOMPRESSED, residues_bytes)
    if not right or count != sizes[total]:
        raise FormatError(f"{name}: {where} holds {count} residues, not {sizes[total]}; make new keys with keygen")
    if sizes[total] == half:
        seed = content[-_SEED_BYTES:]
        seed_head = HEADER.unpack_from(seed)
        wanted = (SEAL_MAGIC, HEADER.size, UNCOMPRESSED, _SEED_BYTES)
        if (seed_head[0], seed_head[1], seed_head[4], seed_head[6]) != wanted or seed[HEADER.size] not in _GENERATORS:
            raise FormatError(f"{name}: {where} has a malformed seed; make new keys with keygen")
    return head + content


def _version(content: bytes) -> tuple[int, int]:
    """SEAL's version, as the first digit states it."""
    _, _, major, minor, *_ = HEADER.unpack_from(content, 32 + 2 * _COUNT.size)
    return major, minor
