"""What a key or ciphertext file says about itself. Its native content is not loaded."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from compress.errors import FormatError
from secure.parties.container import HASH_BYTES, HEADER, ContainerKind, kind_of, parse, parse_header
from secure.streams.frames import HEAD_BYTES, frame_head

#: The kinds whose files are several containers one after the other.
BATCHES = (ContainerKind.BATCH_REQUEST, ContainerKind.BATCH_REPLY)


def describe_file(path: Path) -> dict[str, Any]:
    """Kind, bundle, key and sizes of a container file, or of the frames of a batch, verified by their hashes.

    Raises: FormatError.
    """
    with path.open("rb") as file:
        kind = kind_of(file.read(HEADER.size))
        if kind in BATCHES:
            file.seek(0)
            return _described_batch(file, path, kind)
    if kind is None:
        raise FormatError(f"{path}: neither a cipherpress key nor a ciphertext file")
    content = path.read_bytes()
    container = parse(content, kind, str(path))
    return {
        "kind": kind.name.lower(),
        "bundle_id": container.bundle_id,
        "key_id": container.key_id.hex(),
        "items": len(container.items),
        "bytes": len(content),
    }


def _described_batch(file: BinaryIO, path: Path, kind: ContainerKind) -> dict[str, Any]:
    """The frames of a batch, one at a time in memory."""
    whole_bytes, images = path.stat().st_size, 0
    left, ids = whole_bytes, list[tuple[str, str]]()
    while left:
        where = f"{path}, frame {len(ids)}"
        frame = _next_frame(file, kind, left, where)
        left -= len(frame)
        container = parse(frame, kind, where)
        if len(container.items[0]) != HEAD_BYTES:
            raise FormatError(f"{where}: item 0 has {len(container.items[0])} bytes, expected {HEAD_BYTES}")
        images += frame_head(frame).images
        ids.append((container.bundle_id, container.key_id.hex()))
    if len(set(ids)) != 1:
        raise FormatError(f"{path}: its frames are of several bundles or keys; keep the frames of a batch together")
    return {
        "kind": kind.name.lower(),
        "bundle_id": ids[0][0],
        "key_id": ids[0][1],
        "blocks": len(ids),
        "images": images,
        "bytes": whole_bytes,
    }


def _next_frame(file: BinaryIO, kind: ContainerKind, left: int, where: str) -> bytes:
    """The bytes of a frame, as its lengths state them, out of so many bytes that are left.

    Raises: FormatError.
    """
    head = file.read(HEADER.size)
    if len(head) < HEADER.size:
        raise FormatError(f"{where}: {len(head)} bytes are too few for a frame; the file is truncated")
    count = parse_header(head, kind, where)[0]
    lengths = file.read(8 * count)
    size_bytes = HEADER.size + 8 * count + HASH_BYTES
    if len(lengths) == 8 * count:
        size_bytes += sum(struct.unpack(f"<{count}Q", lengths))
    if size_bytes > left:
        raise FormatError(f"{where}: field 'lengths' promises {size_bytes} bytes of {left}; the file is truncated")
    return head + lengths + file.read(size_bytes - HEADER.size - 8 * count)
