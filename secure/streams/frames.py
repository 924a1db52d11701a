"""The frames of a batch: one container per block of images. A request or a reply is its frames one after the other.

item  bytes     content
0     32        batch id (16 bytes, drawn at random); number of the block, blocks of the batch (0: not known when the
                frame was made), images of the block, zero: four little-endian numbers of 4 bytes
1     32 or 0   request: the seed of all second parts; reply: nothing
2...  by prime  request: the first part of every feature; reply: all parts of every output (`secure.draws.bits`)

All sizes follow from the bundle and are compared before anything of that size is allocated.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from compress.errors import FormatError, KeyMismatchError
from secure.params import Params
from secure.parties.container import (
    HASH_BYTES,
    HEADER,
    MAX_ITEMS,
    Buffer,
    Container,
    ContainerKind,
    check_belongs,
    container_bytes,
    parse_header,
    parse_places,
    refuse_secret_key,
)

BATCH_ID_BYTES = 16
#: Bytes of a seed, which is a key of ChaCha20.
SEED_BYTES = 32
_HEAD = struct.Struct("<16sIIII")
#: Bytes of item 0.
HEAD_BYTES = _HEAD.size
#: The most blocks of a batch.
MOST_BLOCKS = 2**32 - 1


@dataclass(frozen=True)
class FrameHead:
    """Where a block belongs: its batch, its number, the blocks of the batch (0: not known), its images."""

    batch_id: bytes
    block: int
    blocks: int
    images: int


@dataclass(frozen=True)
class Frame:
    """A frame's content. items: packed parts, by prime."""

    key_id: bytes
    head: FrameHead
    seed: bytes
    items: tuple[Buffer, ...]


@dataclass(frozen=True)
class FrameLayout:
    """The frames of one direction of one bundle; all of them have the same size.

    seed_bytes: of item 1. item_bytes: of the items that follow, by prime. block_images: the most images of a block.
    """

    kind: ContainerKind
    bundle_id: str
    seed_bytes: int
    item_bytes: tuple[int, ...]
    block_images: int

    @property
    def lengths(self) -> tuple[int, ...]:
        """Bytes of every item."""
        return (_HEAD.size, self.seed_bytes, *self.item_bytes)

    @property
    def frame_bytes(self) -> int:
        """Bytes of every frame."""
        return HEADER.size + 8 * len(self.lengths) + sum(self.lengths) + HASH_BYTES

    def to_bytes(self, frame: Frame) -> bytes:
        """The bytes of a frame."""
        head = frame.head
        packed = _HEAD.pack(head.batch_id, head.block, head.blocks, head.images, 0)
        return container_bytes(self.kind, self.bundle_id, frame.key_id, (packed, frame.seed, *frame.items))

    def check_start(self, content: Buffer, name: str) -> None:
        """Check the header and the lengths, which are the first bytes of a frame.

        Raises: SecretKeyError, FormatError, KeyMismatchError.
        """
        refuse_secret_key(content, name)
        if len(content) < HEADER.size:
            raise FormatError(f"{name}: {len(content)} bytes are too few for a frame; the file is truncated")
        count, bundle_id, key_id = parse_header(content, self.kind, name)
        check_belongs(Container(self.kind, bundle_id, key_id, ()), self.bundle_id, name)
        if count != len(self.lengths):
            raise FormatError(f"{name}: field 'items' is {count}, a frame of this bundle has {len(self.lengths)}")
        if len(content) < HEADER.size + 8 * count:
            raise FormatError(f"{name}: field 'lengths' is cut off; the file is truncated")
        found = struct.unpack_from(f"<{count}Q", content, HEADER.size)
        for item, (length, wanted) in enumerate(zip(found, self.lengths, strict=True)):
            if length != wanted:
                raise FormatError(
                    f"{name}: item {item} has {length} bytes, in this bundle it has {wanted}; the file is altered"
                )

    def parse(self, content: Buffer, name: str) -> Frame:
        """The frame of these bytes, after all checks that need no other frame.

        Raises: SecretKeyError, FormatError, KeyMismatchError.
        """
        self.check_start(content, name)
        _, key_id, places = parse_places(content, self.kind, name)
        *fields, padding = _HEAD.unpack(content[places[0]])
        head = FrameHead(*fields)
        if padding:
            raise FormatError(f"{name}: field 'padding' is {padding}, expected 0; the file is altered")
        if not 1 <= head.images <= self.block_images:
            raise FormatError(f"{name}: field 'images' is {head.images}, a block holds 1 to {self.block_images}")
        view = memoryview(content)
        return Frame(key_id, head, bytes(view[places[1]]), tuple(view[place] for place in places[2:]))

    def read(self, file: BinaryIO, name: str) -> Iterator[bytes]:
        """The frames of an open file, one at a time. Nothing is read of a frame whose header or lengths are wrong.

        Raises: SecretKeyError, FormatError, KeyMismatchError.
        """
        start_bytes, number = HEADER.size + 8 * len(self.lengths), 0
        while start := file.read(start_bytes):
            where = f"{name}, frame {number}"
            self.check_start(start, where)
            rest = file.read(self.frame_bytes - start_bytes)
            if len(rest) != self.frame_bytes - start_bytes:
                raise FormatError(f"{where}: it ends after {len(start) + len(rest)} of {self.frame_bytes} bytes")
            yield start + rest
            number += 1

    def split(self, content: Buffer, name: str) -> Iterator[memoryview]:
        """`read` for bytes in memory."""
        view = memoryview(content)
        for number, start in enumerate(range(0, len(view), self.frame_bytes)):
            where = f"{name}, frame {number}"
            frame = view[start : start + self.frame_bytes]
            self.check_start(frame, where)
            if len(frame) != self.frame_bytes:
                raise FormatError(f"{where}: it ends after {len(frame)} of {self.frame_bytes} bytes")
            yield frame


def request_layout(bundle_id: str, params: Params, inputs: int, dropped: int) -> FrameLayout:
    """Of requests. inputs: features of an image. dropped: bits of a coefficient that are not sent."""
    bits = [prime.bit_length() - dropped for prime in params.data_primes]
    return _layout(ContainerKind.BATCH_REQUEST, bundle_id, params, SEED_BYTES, bits, inputs)


def reply_layout(bundle_id: str, params: Params, outputs: int, parts: int) -> FrameLayout:
    """Of replies. outputs: of an image. parts: of an output's ciphertext."""
    bits = [prime.bit_length() for prime in params.data_primes]
    return _layout(ContainerKind.BATCH_REPLY, bundle_id, params, 0, bits, outputs * parts)


def _layout(
    kind: ContainerKind, bundle_id: str, params: Params, seed_bytes: int, bits: Sequence[int], rows: int
) -> FrameLayout:
    assert len(bits) + 2 <= MAX_ITEMS
    item_bytes = tuple(rows * params.poly_modulus_degree * width // 8 for width in bits)
    return FrameLayout(kind, bundle_id, seed_bytes, item_bytes, params.slots)


def frame_head(frame: Buffer) -> FrameHead:
    """Where the block of a complete frame belongs; nothing is checked."""
    items = HEADER.unpack_from(frame)[3]
    return FrameHead(*_HEAD.unpack_from(frame, HEADER.size + 8 * items)[:-1])


def in_order(frames: Iterable[Frame], name: str) -> Iterator[Frame]:
    """The frames of one batch, each one checked against those before it, and their number at the end.

    Raises: FormatError for frames that are missing, repeated, in another order or of another batch; KeyMismatchError
    for a frame under another key.
    """
    first: Frame | None = None
    count = 0
    for frame in frames:
        first = first or frame
        where, head = f"{name}, frame {count}", frame.head
        if head.batch_id != first.head.batch_id:
            raise FormatError(
                f"{where}: it belongs to batch {head.batch_id.hex()[:8]}, those before it to "
                f"{first.head.batch_id.hex()[:8]}; keep the frames of a batch together"
            )
        if frame.key_id != first.key_id:
            raise KeyMismatchError(
                f"{where}: it was made with key {frame.key_id.hex()[:8]}, those before it with "
                f"{first.key_id.hex()[:8]}; a batch has one key"
            )
        if head.block != count:
            what = "frames before it are missing" if head.block > count else "it is repeated or out of order"
            raise FormatError(f"{where}: field 'block' is {head.block}, expected {count}; {what}")
        if head.blocks != first.head.blocks or 0 < head.blocks <= head.block:
            raise FormatError(f"{where}: field 'blocks' is {head.blocks}; it does not fit the other frames")
        yield frame
        count += 1
    if first is None:
        raise FormatError(f"{name}: it holds no frame; give the bytes of a batch")
    if first.head.blocks not in (0, count):
        raise FormatError(f"{name}: {count} of {first.head.blocks} frames; the last ones are missing")


def answer_to(frame: Frame, items: Sequence[Buffer]) -> Frame:
    """The reply frame of a request frame."""
    return replace(frame, seed=b"", items=tuple(items))
