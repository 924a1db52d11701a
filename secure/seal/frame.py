"""The headers of SEAL's bytes, checked before SEAL reads them.

SEAL decompresses an object before it examines it, so a few kilobytes could take gigabytes of memory. The block list of
the zstd frame (RFC 8878) gives a bound beforehand: no block is larger than 128 KiB after decompression.

    offset  bytes  field
    0       2      magic 0xA15E, little-endian
    2       1      header bytes: 16
    3       2      SEAL's version
    5       1      compression: 0 none, 2 zstd
    6       2      zero
    8       8      total bytes, this header included
"""

from __future__ import annotations

import struct

from compress.errors import FormatError

HEADER = struct.Struct("<HBBBBHQ")
SEAL_MAGIC = 0xA15E
UNCOMPRESSED, ZSTD = 0, 2
ZSTD_MAGIC = 0xFD2FB528
ZSTD_BLOCK_BYTES = 128 * 2**10
RAW_BLOCK, RUN_BLOCK, COMPRESSED_BLOCK = 0, 1, 2

#: What the bound may exceed the expected size by: blocks are rarely full, and SEAL adds headers of its own.
SLACK_FACTOR = 2
SLACK_BYTES = 2**20
#: The window that any frame may ask a reader to hold; SEAL's own frames ask for 2 MiB. Readers allow 128 MiB.
WINDOW_BYTES = 2**23


def check_frame(content: bytes, name: str, max_bytes: int) -> None:
    """Refuse bytes that are no SEAL object, or that could inflate to much more than `max_bytes`.

    Raises: FormatError.
    """
    if len(content) < HEADER.size:
        raise FormatError(f"{name}: {len(content)} bytes are too few for a SEAL object; it is truncated")
    magic, header_bytes, _, _, compression, _, total = HEADER.unpack_from(content)
    if magic != SEAL_MAGIC or header_bytes != HEADER.size or total != len(content):
        raise FormatError(f"{name}: it does not start as a SEAL object of {len(content)} bytes; it is altered")
    if compression not in (UNCOMPRESSED, ZSTD):
        raise FormatError(f"{name}: compression {compression}; allowed are {UNCOMPRESSED} (none) and {ZSTD} (zstd)")
    inflated, window = (len(content), 0) if compression == UNCOMPRESSED else _zstd_bounds(content, name)
    limit = SLACK_FACTOR * max_bytes + SLACK_BYTES
    if inflated > limit:
        raise FormatError(f"{name}: it could inflate to {inflated} bytes where {max_bytes} are expected; it is altered")
    if window > max(limit, WINDOW_BYTES):
        raise FormatError(f"{name}: it asks its reader to hold {window} bytes; it is altered")


def _zstd_bounds(content: bytes, name: str) -> tuple[int, int]:
    """The most that the one zstd frame after SEAL's header can inflate to, and the bytes its reader has to hold."""
    try:
        magic, descriptor = struct.unpack_from("<IB", content, HEADER.size)
        if magic != ZSTD_MAGIC:
            raise FormatError(f"{name}: its compressed part is no zstd frame; it is altered")
        single_segment = descriptor >> 5 & 1
        window_bytes = 1 - single_segment
        dictionary_bytes = (0, 1, 2, 4)[descriptor & 3]
        size_bytes = (single_segment, 2, 4, 8)[descriptor >> 6]
        offset = HEADER.size + 5 + window_bytes + dictionary_bytes + size_bytes
        if single_segment:  # the window is the whole content
            window = int.from_bytes(content[offset - size_bytes : offset], "little")
        else:  # exponent and mantissa (RFC 8878, 3.1.1.1.2)
            exponent, mantissa = divmod(content[HEADER.size + 5], 8)
            window = (8 + mantissa) << (7 + exponent)
        bound, last = 0, 0
        while not last:
            low, high = struct.unpack_from("<HB", content, offset)
            header = low | high << 16
            last, kind, size = header & 1, header >> 1 & 3, header >> 3
            bound += ZSTD_BLOCK_BYTES if kind == COMPRESSED_BLOCK else size
            offset += 3 + (1 if kind == RUN_BLOCK else size)
        offset += 4 * (descriptor >> 2 & 1)
    except (struct.error, IndexError):
        raise FormatError(f"{name}: its compressed part is cut off; it is truncated") from None
    if offset != len(content):
        raise FormatError(f"{name}: its compressed part ends at {offset} of {len(content)} bytes; it is altered")
    return bound, window
