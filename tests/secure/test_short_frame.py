"""The zstd frame without zero bytes: any zstd reads it, and its size is known beforehand."""

import numpy as np
import pytest
import zstandard

from secure.seal.short_frame import MOST_BYTES, WORD_BYTES, bytes_needed, short_frame, short_frame_bytes

HEAD, TAIL = b"head" * 25, b"tail" * 20


@pytest.mark.parametrize("count", [2, 3, 129, 130, 131, 258, 16385, 16386, 16387, 100_000])
@pytest.mark.parametrize("bits", [1, 8, 9, 24, 32, 33, 40])
def test_zstd_inflates_the_frame_to_the_words(count, bits):
    words = np.random.default_rng(count).integers(0, 2**bits, count, dtype=np.uint64)
    frame = short_frame(HEAD, words[None], TAIL, [bytes_needed(bits)])
    wanted = HEAD + words.tobytes() + TAIL
    assert zstandard.ZstdDecompressor().decompress(frame) == wanted
    assert zstandard.ZstdDecompressor().decompressobj().decompress(frame) == wanted
    left = short_frame_bytes(count, [bytes_needed(bits)]) + len(HEAD) + len(TAIL) - len(frame)
    assert 0 <= left < 60


@pytest.mark.parametrize("words", [[0, 0, 0, 0], [2**40 - 1] * 300, [0, 2**40 - 1] * 9000])
def test_words_at_the_ends_of_their_range_come_back(words):
    array = np.array(words, dtype=np.uint64)
    assert zstandard.ZstdDecompressor().decompress(short_frame(b"", array[None], b"", [5])) == array.tobytes()


@pytest.mark.parametrize("bits", [(36, 29), (29, 36), (40, 8, 40), (16, 16)])
def test_rows_need_bytes_of_their_own(bits):
    """The first word of a row follows one whose zeros may be fewer."""
    random = np.random.default_rng(0)
    words = np.stack([random.integers(2 ** (size - 1), 2**size, 4096, dtype=np.uint64) for size in bits])
    kept = [bytes_needed(size) for size in bits]
    frame = short_frame(HEAD, words, TAIL, kept)
    assert zstandard.ZstdDecompressor().decompress(frame) == HEAD + words.tobytes() + TAIL
    assert 0 <= short_frame_bytes(4096, kept) + len(HEAD) + len(TAIL) - len(frame) < 60 * len(bits)


def test_a_word_takes_the_bytes_that_its_bits_need():
    assert [bytes_needed(bits) for bits in (1, 8, 9, 40, 41, 64)] == [1, 1, 2, 5, 6, 8]
    assert WORD_BYTES - MOST_BYTES == 3  # the shortest match of zstd


def test_the_frame_is_smaller_than_what_zstd_finds():
    words = np.random.default_rng(0).integers(0, 2**38, 30_000, dtype=np.uint64)
    own = len(short_frame(b"", words[None], b"", [5]))
    assert own < 0.95 * len(zstandard.ZstdCompressor(level=3).compress(words.tobytes()))
