"""How a ciphertext lies on the wire as bits, and how many bytes it takes. Pure.

An item of a request or a reply (docs/wire-format.md):

offset  bytes  field
0       8      magic "CPSCTXT1"
8       4      parts that follow, little-endian: 1 in a request, 2 in a reply
12      4      zero
16      32     seed of the second part, in a request only
...            for each part, for each data prime of its level: the residues as a string of N b bits, b the bits of the
               prime, residue k at bit k b, in SEAL's order
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from compress.errors import FormatError
from secure.params import Params

MAGIC = b"CPSCTXT1"
HEAD = struct.Struct("<8sI4x")
#: Bytes of the seed of a request's second part.
SEED_BYTES = 32
#: Parts of a ciphertext that is sent with a seed, and of one that is sent as a whole.
SEEDED_PARTS, WHOLE_PARTS = 1, 2


def item_bytes(params: Params, level: int, *, seeded: bool) -> int:
    """Bytes of a ciphertext at this level."""
    part = params.poly_modulus_degree * sum(params.coeff_modulus_bits[:level]) // 8
    return HEAD.size + (SEED_BYTES + SEEDED_PARTS * part if seeded else WHOLE_PARTS * part)


def is_packed(item: bytes) -> bool:
    """Whether an item holds a ciphertext in this form, and not in SEAL's."""
    return item[: len(MAGIC)] == MAGIC


def check_item(params: Params, level: int, item: bytes, name: str, *, seeded: bool) -> None:
    """Refuse an item that does not hold a ciphertext of this level, by its head and size.

    Raises: FormatError.
    """
    wanted = item_bytes(params, level, seeded=seeded)
    if item[: HEAD.size] != HEAD.pack(MAGIC, SEEDED_PARTS if seeded else WHOLE_PARTS):
        kind = "a seed and one part" if seeded else "two parts"
        raise FormatError(f"{name}: a ciphertext is expected that states {kind}; it is altered or of another version")
    if len(item) != wanted:
        raise FormatError(
            f"{name}: {len(item)} bytes where a ciphertext of level {level} takes {wanted}; it is cut off, altered or "
            "of another level"
        )


def unpacked(params: Params, level: int, packed: NDArray[np.uint64], parts: int) -> NDArray[np.uint64]:
    """(parts, level, N): the residues of strings of bits (words,). They may be too large for their primes."""
    degree, start = params.poly_modulus_degree, 0
    result = np.empty((parts, level, degree), dtype=np.uint64)
    for part in range(parts):
        for row, bits in enumerate(params.coeff_modulus_bits[:level]):
            size = degree * bits // 64
            words = np.append(packed[start : start + size], np.uint64(0))
            first = np.arange(degree, dtype=np.uint64) * np.uint64(bits)
            word, shift = (first >> np.uint64(6)).astype(np.int64), first & np.uint64(63)
            # two shifts, since one by 64 is undefined
            above = words[word + 1] << np.uint64(1) << (np.uint64(63) - shift)
            result[part, row] = (words[word] >> shift | above) & np.uint64((1 << bits) - 1)
            start += size
    return result
