"""Bit strings of residues against Python's integers, for every width."""

import numpy as np
import pytest

from secure.draws.bits import pack_row, row_words, unpack_row


@pytest.mark.parametrize("bits", [1, 2, 8, 19, 20, 31, 32, 33, 37, 40, 41, 46, 49, 50, 52])
def test_rows_are_little_endian_bit_strings_without_gaps(bits):
    random = np.random.default_rng(bits)
    values = random.integers(0, 1 << bits, 192)
    values[[0, 63, 64, 191]] = (1 << bits) - 1
    packed = np.full(row_words(192, bits), 2**64 - 1, dtype=np.uint64)
    pack_row(values.astype(np.float64), bits, packed)
    text = int.from_bytes(packed.tobytes(), "little")
    assert text == sum(int(value) << (bits * place) for place, value in enumerate(values))
    found = np.empty(192)
    unpack_row(packed, 0, bits, found)
    assert found.tolist() == values.tolist()
    for first, count in ((0, 8), (64, 64), (184, 8), (40, 32)):
        part = np.empty(count)
        unpack_row(packed, first, bits, part)
        assert part.tolist() == values[first : first + count].tolist()


def test_packing_writes_its_row_alone():
    packed = np.zeros(row_words(64, 41) + 2, dtype=np.uint64)
    pack_row(np.full(64, 2.0**41 - 1), 41, packed[1:-1])
    assert packed[0] == packed[-1] == 0
    assert (packed[1:-1] == 2**64 - 1).all()
