"""Small integers packed bit by bit, as saved models store codes and masks. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.model.codebook import level_bits

Bytes = NDArray[np.uint8]


def pack_codes(codes: NDArray[np.int32], levels: int) -> Bytes:
    """Codes (n,) in [-levels, levels] as code + levels, B bits each, highest bit first; ceil(n B / 8) bytes."""
    bits = level_bits(levels)
    shifted = codes.astype(np.int64) + levels
    planes = (shifted[:, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(planes.astype(np.uint8).ravel())


def unpack_codes(packed: Bytes, count: int, levels: int) -> NDArray[np.int32]:
    """The inverse of `pack_codes`; the caller has checked the number of bytes with `packed_bytes`."""
    bits = level_bits(levels)
    planes = np.unpackbits(packed, count=count * bits).reshape(count, bits).astype(np.int64)
    return (planes @ (1 << np.arange(bits - 1, -1, -1)) - levels).astype(np.int32)


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that `count` numbers of `bits` bits take."""
    return (count * bits + 7) // 8


def pack_mask(mask: NDArray[np.bool_]) -> Bytes:
    """One bit per weight, in C order."""
    return np.packbits(mask.ravel())


def unpack_mask(packed: Bytes, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The inverse of `pack_mask`."""
    return np.unpackbits(packed, count=int(np.prod(shape))).astype(bool).reshape(shape)
