"""The items of an evaluation key taken apart and put together in other ways, as an attacker would."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace

import zstandard

from secure.parties.container import KEY_ID_BYTES
from secure.parties.keys import EvaluationKey, content_digest
from secure.seal.frame import HEADER, SEAL_MAGIC, ZSTD

COUNT = struct.Struct("<Q")
PARMS_ID_BYTES = 32


def taken_apart(item: bytes) -> tuple[bytes, dict[int, list[bytes]]]:
    """(parms_id, digits by index) of the bytes of relinearization or Galois keys."""
    body = zstandard.ZstdDecompressor().decompressobj().decompress(item[HEADER.size :])
    offset, keys = PARMS_ID_BYTES, {}
    (places,) = COUNT.unpack_from(body, offset)
    offset += COUNT.size
    for index in range(places):
        (count,) = COUNT.unpack_from(body, offset)
        offset += COUNT.size
        for _ in range(count):
            size = HEADER.unpack_from(body, offset)[-1]
            keys.setdefault(index, []).append(body[offset : offset + size])
            offset += size
    return body[:PARMS_ID_BYTES], keys


def put_together(
    parms_id: bytes, keys: Mapping[int, Sequence[bytes]], places: int | None = None, *, tail: bytes = b""
) -> bytes:
    """The bytes of an item with these digits at these indices."""
    places = max(keys, default=-1) + 1 if places is None else places
    parts = [parms_id, COUNT.pack(places)]
    for index in range(min(places, 2**16)):
        digits = keys.get(index, ())
        parts += [COUNT.pack(len(digits)), *digits]
    return sealed(b"".join((*parts, tail)))


def sealed(body: bytes) -> bytes:
    """The body compressed, under SEAL's header."""
    packed = zstandard.ZstdCompressor(level=1).compress(body)
    return HEADER.pack(SEAL_MAGIC, HEADER.size, 4, 3, ZSTD, 0, HEADER.size + len(packed)) + packed


def with_items(key: EvaluationKey, *items: bytes) -> EvaluationKey:
    """A key with other items, and the id that they give it."""
    return replace(key, items=items, key_id=content_digest(key.bundle_id, items)[:KEY_ID_BYTES])
