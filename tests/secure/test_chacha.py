"""ChaCha20 against RFC 8439 and against a second implementation, written from its text."""

import struct

import numpy as np
import pytest

from secure.draws.chacha import BATCH_WORDS, BLOCK_WORDS, fill, initial_state, keystream

KEY = bytes(range(32))
#: RFC 8439, appendix A.1: key, nonce, block number, block.
VECTORS = [
    (bytes(32), bytes(12), 0,
     "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11c"
     "c387b669b2ee6586"),
    (bytes(32), bytes(12), 1,
     "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b721769ce64e43d57133b074d839d531ed1f28510afb45"
     "ace10a1f4b794d6f"),
    (bytes(31) + b"\1", bytes(12), 1,
     "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125"
     "a64addeb006c13a0"),
    (b"\0\xff" + bytes(30), bytes(12), 2,
     "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b"
     "7374f4872e99f096"),
    (bytes(32), bytes(11) + b"\2", 0,
     "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c78a970e0e955c14f3a88e741b97c286f75f8fc299e8148362"
     "fa198a39531bed6d"),
    # section 2.3.2
    (KEY, bytes.fromhex("000000090000004a00000000"), 1,
     "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4ed2826446079faa0914c2d705d98b02a2b5129cd1de164eb9"
     "cbd083e8a2503c4e"),
]  # fmt: skip


def rotated(value, bits):
    return (value << bits | value >> (32 - bits)) & 0xFFFFFFFF


def quarter(x, a, b, c, d):
    for left, right, target, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[left] = (x[left] + x[right]) & 0xFFFFFFFF
        x[target] = rotated(x[target] ^ x[left], bits)


def block(key, nonce, number):
    """A block by the RFC's own pseudo-code."""
    start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), number, *nonce]
    x = list(start)
    for _ in range(10):
        for column in range(4):
            quarter(x, column, column + 4, column + 8, column + 12)
        for a in range(4):
            quarter(x, a, 4 + (a + 1) % 4, 8 + (a + 2) % 4, 12 + (a + 3) % 4)
    return [(one + other) & 0xFFFFFFFF for one, other in zip(x, start, strict=True)]


@pytest.mark.parametrize("key, nonce, number, wanted", VECTORS)
def test_blocks_of_the_rfc(key, nonce, number, wanted):
    words = keystream(key, struct.unpack("<3I", nonce), BLOCK_WORDS, number)
    assert words.astype("<u4").tobytes().hex() == wanted


def test_a_stream_is_its_blocks_in_order():
    nonce, random = (1, 2**31, 2**32 - 1), np.random.default_rng(1)
    key = random.bytes(32)
    wanted = sum((block(key, nonce, number) for number in range(5, 25)), [])
    assert keystream(key, nonce, 20 * BLOCK_WORDS - 3, 5).tolist() == wanted[:-3]


def test_block_numbers_wrap_around_at_32_bits():
    words = keystream(KEY, (0, 0, 0), 10 * BLOCK_WORDS, 2**32 - 3)
    assert words[3 * BLOCK_WORDS :].tolist() == keystream(KEY, (0, 0, 0), 7 * BLOCK_WORDS).tolist()


def test_filling_leaves_the_state_and_what_lies_behind_alone():
    state, result = initial_state(KEY, (0, 0, 7)), np.zeros(3 * BATCH_WORDS, dtype=np.uint32)
    before = state.copy()
    fill(state, np.uint32(0), result[:BATCH_WORDS])
    assert (state == before).all()
    assert result[:BATCH_WORDS].any() and not result[BATCH_WORDS:].any()
