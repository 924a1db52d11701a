"""ChaCha20 (RFC 8439, section 2.3), many blocks at a time: one operation of numpy acts on a row of all states."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words32 = NDArray[np.uint32]

KEY_BYTES = 32
#: Words of 32 bits of a block.
BLOCK_WORDS = 16
_CONSTANTS = np.frombuffer(b"expand 32-byte k", dtype="<u4")
_DOUBLE_ROUNDS = 10
_WORD_BITS = 32
#: Streams are made in pieces of about this many blocks, so that calls are few and states stay in the cache.
PIECE_BLOCKS = 8192


def streams(key: bytes, nonces: Words32, first: int, blocks: int) -> Words32:
    """(streams, 16 blocks): words of 32 bits of one stream for each of the nonces (streams, 3), from a block on."""
    result = np.empty((len(nonces), blocks, BLOCK_WORDS), dtype=np.uint32)
    together = max(1, PIECE_BLOCKS // blocks)
    counters = np.arange(first, first + blocks, dtype=np.uint32)
    for start in range(0, len(nonces), together):
        some = nonces[start : start + together]
        state = np.empty((BLOCK_WORDS, len(some), blocks), dtype=np.uint32)
        state[:4], state[4:12] = _column(_CONSTANTS), _column(np.frombuffer(key, dtype="<u4"))
        state[12], state[13:] = counters, some.T[:, :, None]
        result[start : start + together] = np.moveaxis(_blocks(state), 0, 2)
    return result.reshape(len(nonces), -1)


def _column(words: Words32) -> Words32:
    return words[:, None, None]


def _blocks(state: Words32) -> Words32:
    """(16, ...): the blocks of states (16, ...)."""
    rows = state.reshape(4, 4, -1).copy()
    scratch = np.empty_like(rows[0])
    for _ in range(_DOUBLE_ROUNDS):
        _quarter_rounds(rows, scratch)
        _turn(rows, (1, 2, 3))  # diagonals become columns
        _quarter_rounds(rows, scratch)
        _turn(rows, (3, 2, 1))
    result = rows.reshape(state.shape)
    result += state
    return result


def _quarter_rounds(rows: Words32, scratch: Words32) -> None:
    """A quarter round of all four columns."""
    a, b, c, d = rows
    for added_to, addend, mixed, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        added_to += addend
        mixed ^= added_to
        np.left_shift(mixed, bits, out=scratch)
        mixed >>= _WORD_BITS - bits
        mixed |= scratch


def _turn(rows: Words32, by: tuple[int, int, int]) -> None:
    """Move the columns of the last three rows to the left."""
    for row, columns in zip(rows[1:], by, strict=True):
        row[:] = np.roll(row, -columns, axis=0)
