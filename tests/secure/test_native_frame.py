"""Bounds on the size that SEAL's bytes can inflate to, found before SEAL inflates them."""

import struct

import pytest
import tenseal.sealapi as sealapi
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import FormatError
from secure.seal.context import make_ring, to_bytes
from secure.seal.frame import HEADER, SEAL_MAGIC, ZSTD, check_frame
from tests.secure.plans import SMALL


@pytest.fixture(scope="module")
def saved_keys():
    ring = make_ring(SMALL)
    return to_bytes(sealapi.KeyGenerator(ring.context).create_galois_keys([3, 9, 27]))


def frame(body):
    return HEADER.pack(SEAL_MAGIC, HEADER.size, 4, 3, ZSTD, 0, HEADER.size + len(body)) + body


def block(kind, size, last):
    return struct.pack("<I", size << 3 | kind << 1 | last)[:3]


def test_real_keys_pass_with_their_own_size_and_fail_with_a_tenth(saved_keys):
    inflated = 3 * 2 * 3 * SMALL.poly_modulus_degree * 8
    check_frame(saved_keys, "key", inflated)
    with pytest.raises(FormatError, match="key: SEAL|key: it could inflate to"):
        check_frame(saved_keys, "key", -(2**20))


def test_a_decompression_bomb_is_refused_by_its_block_list():
    runs = b"".join(block(1, 2**17, last=index == 999) + b"\0" for index in range(1000))
    with pytest.raises(FormatError, match="x.ct: it could inflate to 131072000 bytes where 65536 are expected"):
        check_frame(frame(struct.pack("<IBB", 0xFD2FB528, 0, 0) + runs), "x.ct", 65536)


@pytest.mark.parametrize(
    ("head", "window"),
    [
        (struct.pack("<IBB", 0xFD2FB528, 0, 17 << 3), 2**27),
        (struct.pack("<IBB", 0xFD2FB528, 0, 31 << 3 | 7), 15 * 2**38),
        (struct.pack("<IBB", 0xFD2FB528, 0, 13 << 3 | 1), 9 * 2**20),
        (struct.pack("<IBI", 0xFD2FB528, 0xA0, 2**27), 2**27),
        (struct.pack("<IBQ", 0xFD2FB528, 0xE0, 2**60), 2**60),
    ],
)
def test_a_small_frame_that_asks_for_much_memory_is_refused(head, window):
    content = frame(head + block(0, 2, last=1) + b"xx")
    with pytest.raises(FormatError, match=f"x.ct: it asks its reader to hold {window} bytes"):
        check_frame(content, "x.ct", 65536)
    check_frame(content, "x.ct", window)  # where as much is expected it may


def test_frames_of_zstd_at_its_usual_levels_pass():
    for level in (1, 3, 9):
        stream = zstandard.ZstdCompressor(level=level).compressobj()
        content = frame(stream.compress(bytes(10)) + stream.flush())
        assert check_frame(content, "x.ct", 10) is None


def test_an_uncompressed_object_has_its_own_size_as_bound():
    content = HEADER.pack(SEAL_MAGIC, HEADER.size, 4, 3, 0, 0, HEADER.size + 4 * 2**20) + bytes(4 * 2**20)
    check_frame(content, "x.ct", 4 * 2**20)
    with pytest.raises(FormatError, match="x.ct: it could inflate to 4194320 bytes where 100 are expected"):
        check_frame(content, "x.ct", 100)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (struct.pack("<IB", 0x184D2A50, 0) + bytes(8), "is no zstd frame"),
        (b"abc", "is cut off"),
        (struct.pack("<IBB", 0xFD2FB528, 0, 0), "is cut off"),
        (struct.pack("<IBB", 0xFD2FB528, 0, 0) + block(0, 9, last=1) + b"short", "ends at 34 of 30 bytes"),
        (struct.pack("<IBB", 0xFD2FB528, 0, 0) + block(0, 2, last=1) + b"xx and more", "ends at 27 of 36 bytes"),
    ],
)
def test_each_malformed_frame_is_named(body, message):
    with pytest.raises(FormatError, match=message):
        check_frame(frame(body), "x.ct", 2**20)


@given(st.binary(max_size=200))
def test_random_bytes_after_a_true_header_raise_only_format_errors(body):
    try:
        check_frame(frame(body), "x.ct", 2**20)
    except FormatError as error:
        assert str(error).startswith("x.ct: ")
