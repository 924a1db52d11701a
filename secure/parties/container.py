"""The one container for every key file and message: versioned, length-checked, hashed, bound to a bundle and a key.

    offset  bytes  field
    0       8      magic "CIPHPRS2" (the digit is the version)
    8       1      kind: 1 request, 2 reply, 3 evaluation key, 4 secret key, 5 batch request, 6 batch reply
    9       3      zero
    12      4      number of items, little-endian (at most MAX_ITEMS)
    16      32     bundle id: sha256 of the plan
    48      16     key id: drawn when the keys were made
    64      8 * n  length of every item, little-endian (their sum at most MAX_BODY_BYTES)
    ...     ...    the items
    end-32  32     sha256 of everything before

All of this is checked before any item reaches native code. The hash detects damage; it is no signature.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from compress.errors import FormatError, KeyMismatchError, SecretKeyError
from secure.file_bytes import Readable

#: Bytes, or a view of bytes that are not copied.
Buffer = bytes | memoryview

MAGIC = b"CIPHPRS2"
HEADER = struct.Struct("<8sB3sI32s16s")
HASH_BYTES = 32
KEY_ID_BYTES = 16
MAX_ITEMS = 4096
MAX_BODY_BYTES = 16 * 2**30
#: Bytes that are hashed at a time.
HASHED_BYTES = 2**20


class ContainerKind(IntEnum):
    """What a container carries."""

    REQUEST = 1
    REPLY = 2
    EVALUATION_KEY = 3
    SECRET_KEY = 4
    BATCH_REQUEST = 5
    BATCH_REPLY = 6


@dataclass(frozen=True)
class Container:
    """A parsed container. Items may be a secret key's, so its text does not show them.

    They are SEAL's own bytes, but those of batches (`secure.streams.frames`)."""

    kind: ContainerKind
    bundle_id: str
    key_id: bytes
    items: tuple[bytes, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """The bytes of the container, hash included."""
        return container_bytes(self.kind, self.bundle_id, self.key_id, self.items)


def container_bytes(kind: ContainerKind, bundle_id: str, key_id: bytes, items: Sequence[Buffer]) -> bytes:
    """The bytes of a container of these items, hash included."""
    head = HEADER.pack(MAGIC, kind, b"\0\0\0", len(items), bytes.fromhex(bundle_id), key_id)
    lengths = struct.pack(f"<{len(items)}Q", *(len(item) for item in items))
    digest = hashlib.sha256()
    for part in (head, lengths, *items):
        digest.update(part)
    return b"".join((head, lengths, *items, digest.digest()))


def kind_of(content: Readable) -> ContainerKind | None:
    """The kind that a container claims, read before anything else of it; None for bytes that are no container."""
    start = bytes(content[: HEADER.size])
    if len(start) < HEADER.size or start[:8] != MAGIC or start[8] not in tuple(ContainerKind):
        return None
    return ContainerKind(start[8])


def add_hash(digest: Any, content: Readable, end: int) -> None:
    """Add the first `end` bytes to a hash, piece by piece."""
    for start in range(0, end, HASHED_BYTES):
        digest.update(content[start : min(start + HASHED_BYTES, end)])


def parse(content: bytes, kind: ContainerKind, name: str) -> Container:
    """The container of these bytes; `name` is the file or message in error texts.

    Raises: FormatError naming the field.
    """
    bundle_id, key_id, places = parse_places(content, kind, name)
    return Container(kind, bundle_id, key_id, tuple(content[place] for place in places))


def parse_places(content: Readable, kind: ContainerKind, name: str) -> tuple[str, bytes, tuple[slice, ...]]:
    """(bundle id in hex, key id, where each item lies) of the container of these bytes, after the checks of `parse`.

    Raises: FormatError naming the field.
    """
    if len(content) < HEADER.size + HASH_BYTES:
        raise FormatError(f"{name}: {len(content)} bytes are too few for a cipherpress file; it is truncated")
    count, bundle_id, key_id = parse_header(content, kind, name)
    start = HEADER.size + 8 * count
    if len(content) < start + HASH_BYTES:
        raise FormatError(f"{name}: field 'lengths' is cut off; the file is truncated")
    lengths = struct.unpack(f"<{count}Q", content[HEADER.size : start])
    if sum(lengths) > MAX_BODY_BYTES or start + sum(lengths) + HASH_BYTES != len(content):
        raise FormatError(f"{name}: field 'lengths' promises {sum(lengths)} bytes; the file is truncated or altered")
    digest = hashlib.sha256()
    add_hash(digest, content, len(content) - HASH_BYTES)
    if digest.digest() != content[-HASH_BYTES:]:
        raise FormatError(f"{name}: field 'sha256' does not match the content; the file is altered")
    places = []
    for length in lengths:
        places.append(slice(start, start + length))
        start += length
    return bundle_id, key_id, tuple(places)


def parse_header(content: Readable, kind: ContainerKind, name: str) -> tuple[int, str, bytes]:
    """(number of items, bundle id in hex, key id) of the first HEADER.size bytes of a container of this kind.

    Raises: FormatError naming the field.
    """
    magic, found, padding, count, bundle_id, key_id = HEADER.unpack(content[: HEADER.size])
    if magic != MAGIC:
        raise FormatError(
            f"{name}: field 'magic' is not {MAGIC.decode()}; it is no cipherpress file, or of another version"
        )
    if found != kind or padding != b"\0\0\0":
        wanted = kind.name.lower().replace("_", " ")
        raise FormatError(f"{name}: field 'kind' is {_kind_name(found)}, expected {wanted}; give the right file")
    if not 1 <= count <= MAX_ITEMS:
        raise FormatError(f"{name}: field 'items' is {count}, allowed are 1 to {MAX_ITEMS}; the file is altered")
    return count, bundle_id.hex(), key_id


def parse_for_server(content: bytes, kind: ContainerKind, name: str) -> Container:
    """`parse`, but secret material is refused before anything of it is read.

    Raises: SecretKeyError, FormatError.
    """
    refuse_secret_key(content, name)
    return parse(content, kind, name)


def refuse_secret_key(content: Readable, name: str) -> None:
    """Raises: SecretKeyError for bytes that start as a secret key's do."""
    if kind_of(content) is ContainerKind.SECRET_KEY:
        raise SecretKeyError(
            f"{name}: this is a secret key; a server must never have one; give it evaluation.key instead"
        )


def check_belongs(container: Container, bundle_id: str, name: str) -> None:
    """Raises: KeyMismatchError when the container was made for another bundle."""
    if container.bundle_id != bundle_id:
        raise KeyMismatchError(
            f"{name}: it belongs to bundle {container.bundle_id[:12]}, this is bundle {bundle_id[:12]}; "
            "use the keys and files made for this bundle"
        )


def _kind_name(value: int) -> str:
    known = value in tuple(ContainerKind)
    return ContainerKind(value).name.lower().replace("_", " ") if known else f"unknown ({value})"
