"""A zstd frame for residues of at most 40 bits that leaves out their zero bytes, without a search for matches.

A residue is eight bytes, little-endian. Where k <= 5 of them suffice, the other 8 - k are zeros, which zstd may copy
from the residue before (a match has three bytes at least). So a residue is k bytes as they are and a match of 8 - k
bytes at distance 8. All matches of a block are described alike, so their codes have the run-length form and take no bit
at all (RFC 8878, 3.1.1.3.2). The frame is as small as k bytes per residue, smaller than what zstd finds itself, and is
made by copying. Any zstd reader inflates it.

The distance is named once, in a block of one residue. All others repeat the last distance, which is the shortest code.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from secure.seal.frame import COMPRESSED_BLOCK, RAW_BLOCK, ZSTD_BLOCK_BYTES, ZSTD_MAGIC

WORD_BYTES = 8
#: The most bytes of a residue that leave room for a match.
MOST_BYTES = 5
LEAST_MATCH = 3
#: One segment, with its size in four bytes.
_DESCRIPTOR = 0xA0
#: Lengths of literals, distances and lengths of matches: each one symbol for the whole block.
_ONE_SYMBOL_EACH = 0x54
#: Codes of a distance: that of the match before; and 8 to 15 before 3 is subtracted, with three more bits.
_LAST_DISTANCE, _DISTANCE_CODE = 0, 3
#: The bits of a block: only the mark of their end; before it three bits, 8 + 3 - 3 = 8.
_NO_BITS, _DISTANCE_BITS = b"\x01", b"\x0b"
_WORDS_PER_BLOCK = ZSTD_BLOCK_BYTES // WORD_BYTES
#: Bytes that a block has beside its literals.
BLOCK_BYTES = 3 + 3 + 2 + 1 + 3 + 1


def bytes_needed(prime_bits: int) -> int:
    """The bytes of a residue of this many bits that are not always zero."""
    return -(-prime_bits // 8)


def short_frame(head: bytes, words: NDArray[np.uint64], tail: bytes, kept: Sequence[int]) -> bytes:
    """The frame of head, words (rows, at least two) and tail.

    kept: for each row the bytes that its words need, at most MOST_BYTES. A row's first word is written as it is, since
    the word before it may need more bytes.
    """
    content_bytes = len(head) + words.nbytes + len(tail)
    parts, before = [struct.pack("<IBI", ZSTD_MAGIC, _DESCRIPTOR, content_bytes)], head
    for number, (row, size) in enumerate(zip(words.astype("<u8", copy=False), kept, strict=True)):
        literals = row.view(np.uint8).reshape(-1, WORD_BYTES)[:, :size]
        parts += _raw(before + row[:1].tobytes(), last=False)
        first, before = 1, b""
        if number == 0:
            parts += _matched(literals[1:2], _DISTANCE_CODE, _DISTANCE_BITS)
            first = 2
        for start in range(first, len(row), _WORDS_PER_BLOCK):
            parts += _matched(literals[start : start + _WORDS_PER_BLOCK], _LAST_DISTANCE, _NO_BITS)
    parts += _raw(tail, last=True)
    return b"".join(parts)


def short_frame_bytes(row_words: int, kept: Sequence[int]) -> int:
    """The bytes of a frame of rows of this many words without head and tail, rounded up."""
    blocks = 3 + row_words // _WORDS_PER_BLOCK
    return sum(row_words * size + blocks * BLOCK_BYTES + WORD_BYTES for size in kept)


def _raw(content: bytes, *, last: bool) -> Iterator[bytes]:
    yield _block_header(len(content), RAW_BLOCK, last=last)
    yield content


def _matched(literals: NDArray[np.uint8], distance: int, bits: bytes) -> Iterator[bytes]:
    """A block of residues, literals (residues, kept), each followed by a match."""
    count, kept = literals.shape
    lengths = kept, distance, WORD_BYTES - kept - LEAST_MATCH
    sequences = bytes((_ONE_SYMBOL_EACH, *lengths)) + bits
    # the number of residues in two bytes, big-endian, with the upper bit set; or in one byte below 128
    number = bytes((count,)) if count < 128 else struct.pack(">H", count + 0x8000)
    sizes = (literals.size << 4 | 3 << 2).to_bytes(3, "little")  # uncompressed literals, their number in 20 bits
    yield _block_header(len(sizes) + literals.size + len(number) + len(sequences), COMPRESSED_BLOCK, last=False)
    yield from (sizes, literals.tobytes(), number, sequences)


def _block_header(size: int, kind: int, *, last: bool) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little")
