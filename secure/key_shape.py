"""Which digits and rows a key has, and how many bytes it takes on the wire. Pure.

An item of an evaluation key (docs/wire-format.md) holds the keys of one kind, relinearization or rotations:

offset  bytes  field
0       8      magic "CPSWKEY1"
8       4      number of keys, little-endian
12      4      zero
16             the keys, one after the other

A key for values of level l has the digits and rows of that level, and nothing else:

0       32     seed of the second halves
32             for each digit, for each row: the residues of the first half as a string of N b bits, b the bits of the
               row's prime, residue k at bit k b, in SEAL's order

A row belongs to a data prime, 0 to l - 1, or to a special prime; these come last.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from compress.errors import FormatError
from secure.file_bytes import Readable
from secure.params import Params

HEAD = struct.Struct("<8sI4x")
MAGIC = b"CPSWKEY1"
#: Bytes of the seed of a key's second halves.
SEED_BYTES = 32
RESIDUE_BYTES = 8


@dataclass(frozen=True)
class KeyShape:
    """A key for values of `level`, which serves lower levels too."""

    params: Params
    level: int

    @cached_property
    def digits(self) -> tuple[range, ...]:
        """The data primes of every digit."""
        return self.params.digits_at(self.level)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """The index of the prime of every row, in `Params.all_primes`."""
        return (*range(self.level), *range(self.params.levels, len(self.params.all_primes)))

    @cached_property
    def bits(self) -> tuple[int, ...]:
        """The bits of a packed residue of every row."""
        return tuple(self.params.coeff_modulus_bits[row] for row in self.rows)

    @property
    def packed_bytes(self) -> int:
        """Bytes of the key on the wire."""
        return SEED_BYTES + len(self.digits) * self.params.poly_modulus_degree * sum(self.bits) // 8

    @property
    def memory_bytes(self) -> int:
        """Bytes of the key's residues in memory, both halves."""
        return len(self.digits) * 2 * len(self.rows) * self.params.poly_modulus_degree * RESIDUE_BYTES


def item_bytes(params: Params, levels: Sequence[int]) -> int:
    """Bytes of an item with keys for these levels; an item without keys is empty."""
    return HEAD.size * bool(levels) + sum(KeyShape(params, level).packed_bytes for level in levels)


def is_packed(item: Readable) -> bool:
    """Whether an item holds keys in this form, and not in SEAL's."""
    return item[: len(MAGIC)] == MAGIC


def check_item(params: Params, levels: Sequence[int], item: Readable, name: str) -> None:
    """Refuse an item that does not hold keys for exactly these levels, by its size and head.

    Raises: FormatError.
    """
    wanted = item_bytes(params, levels)
    if len(item) != wanted:
        raise FormatError(f"{name}: {len(item)} bytes where the bundle's keys take {wanted}; make new keys with keygen")
    if levels and item[: HEAD.size] != HEAD.pack(MAGIC, len(levels)):
        raise FormatError(f"{name}: its head does not state {len(levels)} keys; make new keys with keygen")
